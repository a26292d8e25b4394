#!/usr/bin/env bash
# Builds KenLM from the source release that requirements/main.lock pins: PyPI's package holds the query module only.
#
#   local/build_kenlm.sh PYTHON    (setup.sh calls it; needs a C++ compiler, takes about a minute on two cores)
#
# Leaves .tools/bin/lmplz, .tools/bin/build_binary with the Boost libraries they load in .tools/lib, and in
# .tools/wheels the Python module for PYTHON's version. All that is downloaded is checked against a hash.
set -euo pipefail
python=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$PWD/.tools
work=$tools/build
jobs=$(nproc)

rm -rf "$work" "$tools/bin" "$tools/lib" "$tools/wheels"
mkdir -p "$work/source" "$tools/bin" "$tools/lib" "$tools/wheels"

echo "fetching CMake and Boost"
"$python" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install --quiet --require-hashes -r requirements/tools.lock
export PATH="$work/venv/bin:$PATH"
prefix=$(echo "$work"/venv/lib/python3.*/site-packages/cmeel.prefix)

echo "fetching KenLM's source"
awk '/^[^ #]/ { wanted = /^kenlm==/ } wanted' requirements/main.lock > "$work/kenlm.lock"
# Without build isolation: pip would fetch CMake and setuptools unhashed, in whatever version is current.
"${pip[@]}" download --quiet --no-deps --no-build-isolation --no-binary kenlm --require-hashes \
    -r "$work/kenlm.lock" -d "$work"
tar xzf "$work"/kenlm-*.tar.gz -C "$work/source" --strip-components 1

echo "compiling lmplz"
cmake -S "$work/source" -B "$work/lmplz" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFORCE_STATIC=OFF \
    -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_FLAGS=-w -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH='$ORIGIN/../lib'
cmake --build "$work/lmplz" --target lmplz build_binary --parallel "$jobs"
cp "$work"/lmplz/bin/{lmplz,build_binary} "$tools/bin/"
# The Boost libraries that the two ask for, and those that these ask for in turn.
for _ in 1 2; do
    for name in $(LD_LIBRARY_PATH=$prefix/lib ldd "$tools"/bin/* "$tools"/lib/* 2>/dev/null |
                  awk -F ' => ' -v prefix="$prefix/" 'index($2, prefix) == 1 { print $1 }' | sort -u); do
        cp -L "$prefix/lib/$name" "$tools/lib/$name"
    done
done
"$tools/bin/lmplz" --help > "$work/help.txt" 2>&1 || true   # lmplz exits with 1 after its help
grep -q discount_fallback "$work/help.txt" || { cat "$work/help.txt"; echo "the compiled lmplz does not run"; exit 1; }

echo "compiling KenLM's Python module"
"${pip[@]}" wheel --quiet --no-deps --no-build-isolation --no-cache-dir -w "$tools/wheels" "$work"/kenlm-*.tar.gz
rm -rf "$work"
echo "KenLM is built"
