//! Watches folders for changed files.
