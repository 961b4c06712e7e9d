"""The steps by which an analyst prepares files, one a file: step "scale" is the file `scale.py`.

Each file names its class as `STEP`. The protocol is `teamlink.registry.prepared.Step`.
"""
