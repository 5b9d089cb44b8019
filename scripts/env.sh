# Settings that every build and run of the project shares. Sourced, not executed.
# Build output and downloaded parts live in one folder per user, outside the clone, so that a fresh
# clone builds warm.
export MILLSTREAM_CACHE=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$MILLSTREAM_CACHE/target}
# The ONNX Runtime that set-up placed there; a pipeline may name another.
export MILLSTREAM_ONNXRUNTIME=${MILLSTREAM_ONNXRUNTIME:-$MILLSTREAM_CACHE/onnxruntime/libonnxruntime.so}
# RocksDB, compiled once by scripts/setup-rocksdb.sh.
if rocksdb=$(ls -d "$MILLSTREAM_CACHE"/rocksdb-*/.done 2>/dev/null | sort -V | tail -n 1) && [ -n "$rocksdb" ]; then
  export ROCKSDB_LIB_DIR=${rocksdb%/.done} ROCKSDB_STATIC=1 ROCKSDB_INCLUDE_DIR=${rocksdb%/.done}/include
fi
