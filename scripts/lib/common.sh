# Shared by the scripts: where things are, saying what happens, installing what is missing. Sourced, not run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/gtv
PATH="$HOME/.cargo/bin:$PATH"
export ROOT CACHE PATH

# Tested with this one; 1.22 or later has the API the daemon asks for.
ONNXRUNTIME_VERSION=1.32.0
GARAGE_VERSION=2.5.0
# Vite needs at least this Node.js; Debian 12 ships 18.
NODE_MAJOR=20

APT_BUILD=(build-essential clang libclang-dev pkg-config cmake mold ffmpeg libavcodec-dev libavformat-dev
  libavutil-dev libswscale-dev libswresample-dev python3 python3-venv python3-pip curl ca-certificates git unzip jq)
APT_CAMERA=(python3-gi python3-numpy python3-opencv gir1.2-gst-rtsp-server-1.0 gir1.2-gstreamer-1.0
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-tools)
APT_TEST=(postgresql mosquitto rabbitmq-server redis-server haproxy prometheus openssl chromium protobuf-compiler systemd)

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "installing packages needs root: run as root, or install sudo ($*)"; fi
}

# Installs the Debian packages that are missing; says nothing when none is.
apt_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "Installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# Cargo, from the distribution of the Rust project where the machine has none.
rust_toolchain() {
  command -v cargo >/dev/null && return 0
  say "Installing Rust"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt >&2
}

cargo_nextest() {
  command -v cargo-nextest >/dev/null && return 0
  say "Building cargo-nextest (3 to 5 minutes, once)"
  cargo install cargo-nextest --locked >&2
}

# Node.js with npm: Debian's where it is new enough, else the build that npm's own registry carries.
node_js() {
  local bin="$CACHE/node/node_modules/node/bin"
  [ -x "$bin/node" ] && PATH="$bin:$PATH"
  if command -v node >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$NODE_MAJOR" ]; then
    command -v npm >/dev/null && return 0
  fi
  apt_packages nodejs npm
  if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt "$NODE_MAJOR" ]; then
    say "Installing Node.js $NODE_MAJOR beside Debian's"
    npm install --silent --no-fund --no-audit --prefix "$CACHE/node" "node@$NODE_MAJOR" >&2
    PATH="$bin:$PATH"
  fi
}

# ONNX Runtime's shared library, taken out of its PyPI wheel.
onnxruntime() {
  local folder="$CACHE/onnxruntime/$ONNXRUNTIME_VERSION" wheels
  ORT_DYLIB_PATH="$folder/libonnxruntime.so"
  export ORT_DYLIB_PATH
  [ -e "$ORT_DYLIB_PATH" ] && return 0
  say "Fetching ONNX Runtime $ONNXRUNTIME_VERSION"
  wheels=$(mktemp -d)
  python3 -m pip download --quiet --no-deps --only-binary=:all: -d "$wheels" "onnxruntime==$ONNXRUNTIME_VERSION" >&2
  mkdir -p "$folder.new"
  unzip -q -o -j "$wheels"/onnxruntime-*.whl 'onnxruntime/capi/libonnxruntime*.so*' -d "$folder.new"
  rm -rf "$wheels"
  (cd "$folder.new" && ln -sf "$(ls | grep -m1 '^libonnxruntime\.so\.[0-9]')" libonnxruntime.so)
  rm -rf "$folder" && mv "$folder.new" "$folder"
}

# Garage, the S3 server of the tests.
garage() {
  GTV_GARAGE="$CACHE/garage/bin/garage"
  export GTV_GARAGE
  [ -x "$GTV_GARAGE" ] && return 0
  say "Building the S3 server of the tests, Garage $GARAGE_VERSION (12 to 15 minutes, once)"
  CARGO_TARGET_DIR="$CACHE/garage-target" cargo install garage --version "$GARAGE_VERSION" --locked \
    --no-default-features --features sqlite,bundled-libs --root "$CACHE/garage" >&2
  rm -rf "$CACHE/garage-target"
}

# Python tools of the tests: ruff, pytest and Moto (S3, STS), in an environment of their own that also sees Debian's gi
# and cv2.
python_tools() {
  PYTHON="$CACHE/python/bin/python"
  export PYTHON
  local wanted="$ROOT/scripts/requirements-test.txt" stamp="$CACHE/python/installed"
  cmp -s "$wanted" "$stamp" && return 0
  say "Installing the Python tools of the tests"
  /usr/bin/python3 -m venv --system-site-packages "$CACHE/python"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2
  cp "$wanted" "$stamp"
}

# The page, built into daemon/ui/dist; skipped when nothing changed since the last build.
build_ui() {
  cd "$ROOT/daemon/ui"
  local sum
  sum=$(git -C "$ROOT" ls-files -s daemon/ui | sha256sum; find src public index.html package-lock.json ./*.ts \
    -type f -exec sha256sum {} + 2>/dev/null | sort | sha256sum)
  if [ -e dist/index.html ] && [ "$(cat dist/.built-from 2>/dev/null)" = "$sum" ]; then cd "$ROOT"; return 0; fi
  npm_packages
  say "Building the page"
  npm run --silent build >&2
  printf '%s' "$sum" > dist/.built-from
  cd "$ROOT"
}

# Packages of the page, exactly as locked.
npm_packages() {
  cd "$ROOT/daemon/ui"
  if ! cmp -s package-lock.json node_modules/.installed-lock; then
    say "Installing the packages of the page"
    npm ci --silent --no-fund --no-audit --cache "$CACHE/npm" >&2
    cp package-lock.json node_modules/.installed-lock
  fi
}

# Cargo's target folder lives in the cache, so that a second clone builds quickly too.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
