"""What every room stands on: the compiled core with one OpenMP runtime, threads, settings, small helpers."""
