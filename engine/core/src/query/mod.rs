//! Queries over SoupBinTCP.
