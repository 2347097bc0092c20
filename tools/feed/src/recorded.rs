//! Where tests find recordings that others made.
use std::path::{Path, PathBuf};

/// The path of a recording in the folder of shared captures; `None`, said aloud, where that folder is not there.
///
/// The folder is `$GDS_CAPTURES`, or `shared/captures` beside the workspace.
pub(crate) fn recording(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GDS_CAPTURES").map(PathBuf::from);
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("shared/captures"));
    let found = named.into_iter().chain(beside).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: no {name} in $GDS_CAPTURES or shared/captures");
    }
    found
}
