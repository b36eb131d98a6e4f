# artgan on a CPU, without PyTorch: paints with the bundled painters, and has the page of `artgan demo`.
#
#     docker build -t artgan .
#     docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/pictures" artgan paint photo.jpg
#     ARTGAN_DEMO_TOKEN=... docker run --rm -e ARTGAN_DEMO_TOKEN -p 7860:7860 artgan demo --host 0.0.0.0

# The Python that constraints.txt is for.
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
# Other optional dependencies (pyproject.toml): --build-arg EXTRAS=demo,jxl,large,video
ARG EXTRAS=demo
COPY pyproject.toml constraints.txt registry.yaml README.md LICENSE ./
COPY src src
RUN python3 -m venv --without-pip /opt/artgan \
    && python3 -m pip --python /opt/artgan/bin/python install --no-cache-dir -c constraints.txt ".[${EXTRAS}]"

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="artgan" \
      org.opencontainers.image.description="Repaints photos in the manner of Monet, Van Gogh and Cezanne, on a CPU" \
      org.opencontainers.image.licenses="Apache-2.0"
# `docker run -u` runs it as any user: each can write to these folders, whether or not the image knows the user.
RUN useradd --uid 1000 --home-dir /home/artgan artgan \
    && install --directory --mode 1777 /home/artgan /pictures
COPY --from=build /opt/artgan /opt/artgan
ENV PATH=/opt/artgan/bin:$PATH HOME=/home/artgan USER=artgan
USER 1000:1000
WORKDIR /pictures
VOLUME /pictures
EXPOSE 7860
# As after Ctrl-C, what has been painted is kept. The first process of a container ignores SIGTERM.
STOPSIGNAL SIGINT
ENTRYPOINT ["artgan"]
CMD ["--help"]
