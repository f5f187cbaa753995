import sys

sys.audit("canary", "ran effects_package")
