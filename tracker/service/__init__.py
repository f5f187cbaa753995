"""The tracker service as its clients see it: what goes over the wire, and how it is asked.

`wire` is shared with the server, so that both mean the same. `location` says where the service is,
`credentials` what MLflow's clients would send to it, `client` asks it.
"""
