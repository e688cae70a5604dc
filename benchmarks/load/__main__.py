"""Makes ``python -m benchmarks.load`` run the benchmark."""

from benchmarks.load.main import main

main()
