//! The duty cycles: components joined over ports and disks.
