"""Poses of persons: orders of joints, files, a library, and poses given to other bodies."""
