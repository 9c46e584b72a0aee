#!/usr/bin/env bash
# A wrapper as people write them: it prepares something, starts the training, and has a last word.
set -e
config=$1 folder=$2
shift 2
cd "$(dirname "$0")/work"
echo "preparing on $(uname -s)"
python3 ../train.py "$config" "$folder" "$@"
echo "all done"
