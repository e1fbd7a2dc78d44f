//! Properties of the disk.
