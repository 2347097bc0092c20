//! Packets and pages.
