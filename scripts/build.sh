#!/usr/bin/env bash
# Builds the plugin for Meson: build.sh CARGO SOURCE OUTPUT DEPFILE, the last two relative to Meson's build folder.
set -euo pipefail
cargo=$1 source=$2 output=$3 depfile=$4

# The installed plugin has no debug symbols: they are nine tenths of the file.
export CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=symbols
"$cargo" build --release --locked --lib --manifest-path "$source/Cargo.toml" --target-dir cargo-target
cp cargo-target/release/libgstvidtok.so "$output"
# Cargo's list of source files, with Meson's name for the result.
sed -n "s#^[^:]*libgstvidtok\.so:#$output:#p" cargo-target/release/libgstvidtok.d >"$depfile"
