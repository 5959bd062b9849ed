# The image of a cluster's nodes: every package of constraints.txt and the weights in models/, none of the project's code, which
# travels with each job (runtime_env/). So it is built anew when one of these changes, and not for a change of code.
#
#   docker build --build-arg BUILD=gpu -t REGISTRY/rradistill:gpu .      vLLM and torch with CUDA
#   docker build --build-arg BUILD=cpu -t REGISTRY/rradistill:cpu .      their CPU builds
ARG BUILD=gpu
FROM rayproject/ray:2.60.0-py311-${BUILD}

ARG BUILD=gpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# g++ and make: DeepSpeed compiles an operator at its first use
USER 0
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++=4:* make=4.* \
    && rm -rf /var/lib/apt/lists/*
USER 1000

WORKDIR /home/ray/build
COPY --chown=1000:100 pyproject.toml constraints.txt ./
# uv resolves as `make` does, with the project's overrides; the packages alone, as the project itself has no files here
RUN grep '^uv==' constraints.txt > uv.txt \
    && pip install --no-cache-dir --requirement uv.txt \
    && if [ "$BUILD" = cpu ]; then export UV_TORCH_BACKEND=cpu; fi \
    && uv pip compile pyproject.toml --quiet --extra "$BUILD" --constraint constraints.txt --no-header --output-file packages.txt \
    && uv pip install --system --no-cache --no-deps --requirement packages.txt \
    && python -c 'import deepspeed, ray, torch, vllm; print(ray.__version__, torch.__version__, vllm.__version__)'

COPY --chown=1000:100 models/minilm-cross /home/ray/models/minilm-cross
COPY --chown=1000:100 models/minilm-list /home/ray/models/minilm-list
ENV RRADISTILL_MODELS=/home/ray/models

WORKDIR /home/ray
