# imjax on a CPU:
#   docker build --tag imjax .
#   docker run --rm --user "$(id -u)" --env HOME=/data --volume "$PWD:/data" imjax train --config=configs/demo.py --workdir=/data/runs/demo
FROM python:3.11-slim
# The working directory, so that --config=configs/... finds the configurations.
WORKDIR /opt/imjax
# Before the code, so that a change of the code does not install the dependencies again.
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY imjax imjax
COPY launch launch
COPY configs configs
RUN python -m pip install --no-cache-dir --no-deps .
# Runs write to /data only; mount a folder of yours there.
RUN useradd --create-home imjax && mkdir /data && chown imjax /data
USER imjax
ENTRYPOINT ["imjax"]
CMD ["--help"]
