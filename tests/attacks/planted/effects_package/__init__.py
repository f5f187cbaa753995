import sys

sys.audit("canary", "imported effects_package")
