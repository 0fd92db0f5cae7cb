"""Large arrays in memory and in files. It knows nothing of what they mean."""
