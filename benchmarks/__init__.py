"""Timings of cnnops side by side with torch, in one process."""
