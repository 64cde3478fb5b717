# A folder of wheels that pip on this machine knows by PIP_FIND_LINKS, for the build of worker.Dockerfile.
FROM scratch
COPY . /wheels
