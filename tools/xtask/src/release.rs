//! `cargo xtask release`: a `gds` built by a profile of itself, as it is meant to be run in production.
//!
//! A node at low load is mostly slow because its code has been pushed out of the caches since the last message. Told what ran how often, the
//! compiler puts what runs in one piece and the rest out of its way. `docs/BENCHMARKS.md` has what that brings.
//!
//! Three parts: a build that counts; training, in which that build bears the load of its own bench and demo; a build by the counts. The profile
//! is made anew each time, of the source as it is, because one that is kept goes stale unseen. All of it lies below `target/release-by-profile`.
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Where all of it lies.
const PLACE: &str = "target/release-by-profile";

/// What the counting build does to be trained, and what of GDS that is there for. None of it takes longer than a minute or two. Without root there are no two
/// hosts to be had, so AF_XDP stays untrained; the bench says so.
const TRAINING: &[(&str, &[&str])] = &[
    (
        "acknowledgements over every transport, one at a time and many; gets",
        &[
            "bench",
            "all",
            "--quick",
            "--only",
            "acknowledgement_depth_1,acknowledgement_250k,get_query,backends",
            "--out",
            "target/release-by-profile/training",
        ],
    ),
    ("a trading day on two lines, with losses", &["demo", "--messages", "200000"]),
];

/// Makes it, and says where it is. An error says what to do.
pub fn make() -> Result<(), String> {
    let began = Instant::now();
    let rustc = Compiler::ask()?;
    let place = std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?.join(PLACE);
    let (counts, profile) = (place.join("counts"), place.join("gds.profdata"));
    // Counts of another source would be mixed in.
    if counts.exists() {
        fs::remove_dir_all(&counts).map_err(|error| format!("{}: {error}", counts.display()))?;
    }
    fs::create_dir_all(&counts).map_err(|error| format!("{}: {error}", counts.display()))?;
    let counting = rustc.build(
        &place,
        "counting",
        "a gds that counts what runs how often",
        &flag("-Cprofile-generate=", &counts),
    )?;
    for (index, (what, arguments)) in TRAINING.iter().enumerate() {
        let log = format!("training-{}", index + 1);
        step(&place, &log, what, Command::new(&counting).args(*arguments))?;
    }
    rustc.merge(&place, &counts, &profile)?;
    let built = rustc.build(&place, "guided", "gds by that profile", &flag("-Cprofile-use=", &profile))?;
    let gds = place.join("gds");
    fs::copy(&built, &gds).map_err(|error| format!("{}: {error}", gds.display()))?;
    println!("made in {} s: {PLACE}/gds", began.elapsed().as_secs());
    Ok(())
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(path);
    flag
}

/// The compiler, and what reads its profiles.
struct Compiler {
    /// The machine it builds for unless told otherwise, as a target triple.
    host: String,
    /// Programs that may be able to read what it counts, the most likely first.
    readers: Vec<PathBuf>,
}

impl Compiler {
    fn ask() -> Result<Self, String> {
        let host = told(&["-vV"])?
            .lines()
            .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
            .ok_or("rustc -vV names no host")?;
        let sysroot = PathBuf::from(told(&["--print", "sysroot"])?.trim());
        let readers = readers(&sysroot, &host);
        if readers.is_empty() {
            return Err(format!("there is no llvm-profdata, which reads what the compiler counts: {REMEDY}"));
        }
        Ok(Self { host, readers })
    }

    /// Builds `gds` with a flag for everything that goes into it, but not for what runs while it is built (so a target is named).
    fn build(&self, place: &Path, name: &str, what: &str, flag: &OsString) -> Result<PathBuf, String> {
        let mut command = crate::cargo(&["build", "--release", "--locked", "--package", "gds", "--target"]);
        command.arg(&self.host).arg("--target-dir").arg(place.join(name));
        // One flag, which may hold spaces: this variable splits at nothing else than its separator.
        command.env("CARGO_ENCODED_RUSTFLAGS", flag).env_remove("RUSTFLAGS");
        if name == "guided" {
            command.env("GDS_BUILD", "by profile");
        }
        step(place, name, what, &mut command)?;
        Ok(place.join(name).join(&self.host).join("release/gds"))
    }

    /// Puts all counts into one profile, by the first reader that knows the format.
    fn merge(&self, place: &Path, counts: &Path, profile: &Path) -> Result<(), String> {
        // One that is older than the compiler refuses, and another is asked.
        let merge = |reader: &PathBuf| {
            let mut command = Command::new(reader);
            command.args(["merge", "--output"]).arg(profile).arg(counts);
            let what = format!("the counts into a profile, by {}", reader.display());
            let merged = step(place, "merge", &what, &mut command);
            merged.inspect_err(|why| println!("{:12} {why}", "")).is_ok()
        };
        let merged = self.readers.iter().any(merge);
        let none =
            || format!("no llvm-profdata here reads what this compiler counts ({PLACE}/merge.log): {REMEDY}");
        merged.then_some(()).ok_or_else(none)
    }
}

/// What to do about a reader that is missing.
const REMEDY: &str =
    "`rustup component add llvm-tools`, or install the llvm package of your distribution (19 or later)";

/// What `rustc` answers.
fn told(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(arguments)
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    if !output.status.success() {
        return Err(format!("rustc {}: {}", arguments.join(" "), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The toolchain's own `llvm-profdata` (component llvm-tools), that on the path, those of Debian's packages, newest first.
fn readers(sysroot: &Path, host: &str) -> Vec<PathBuf> {
    const NAME: &str = "llvm-profdata";
    let own = sysroot.join("lib/rustlib").join(host).join("bin").join(NAME);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(NAME));
    let mut packaged: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib").map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().filter_map(|entry| llvm_of(&entry.path())).collect(),
    );
    packaged.sort_by(|one, other| other.cmp(one));
    let packaged = packaged.into_iter().map(|(_, folder)| folder.join("bin").join(NAME));
    std::iter::once(own).chain(on_path).chain(packaged).filter(|file| file.is_file()).collect()
}

/// The version that a folder like `/usr/lib/llvm-19` holds, and the folder.
fn llvm_of(folder: &Path) -> Option<(u32, PathBuf)> {
    let version = folder.file_name()?.to_str()?.strip_prefix("llvm-")?.parse().ok()?;
    Some((version, folder.to_owned()))
}

/// Runs one command with its output in a log, and tells how long it took.
fn step(place: &Path, name: &str, what: &str, command: &mut Command) -> Result<(), String> {
    let began = Instant::now();
    println!("{name:12} {what} ...");
    let path = place.join(format!("{name}.log"));
    let log = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let errors = log.try_clone().map_err(|error| format!("{}: {error}", path.display()))?;
    let status = command.stdin(Stdio::null()).stdout(log).stderr(errors).status();
    let seconds = began.elapsed().as_secs();
    match status {
        Ok(status) if status.success() => {
            println!("{name:12} done ({seconds} s)");
            Ok(())
        }
        Ok(status) => Err(format!("{name}: {status} after {seconds} s; its log: {PLACE}/{name}.log")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_know_packages_of_llvm_by_their_folders() {
        assert_eq!(llvm_of(Path::new("/usr/lib/llvm-19")), Some((19, "/usr/lib/llvm-19".into())));
        assert_eq!(llvm_of(Path::new("/usr/lib/llvm-snapshot")), None);
        assert_eq!(llvm_of(Path::new("/usr/lib/python3")), None);
    }

    #[test]
    fn should_prefer_the_toolchains_own_reader() {
        let place = std::env::temp_dir().join(format!("gds-release-{}", std::process::id()));
        let bin = place.join("lib/rustlib/host/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("llvm-profdata"), "").unwrap();
        assert_eq!(readers(&place, "host")[0], bin.join("llvm-profdata"));
        assert!(readers(&place, "another").iter().all(|reader| !reader.starts_with(&place)));
        fs::remove_dir_all(&place).unwrap();
    }
}
