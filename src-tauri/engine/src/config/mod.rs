//! To be moved in.
