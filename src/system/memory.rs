//! How much memory this process can still take: the least of what the machine has free, of what control groups
//! (containers, services) leave, and of what the process's own limits leave. And what gives memory back.

use std::fmt;
use std::path::{Path, PathBuf};

use super::file;

/// Limit of the system's files that are read here.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Returns freed memory to the system. glibc would keep it: 17 of 144 MiB after a session for a model of 17 MB is made, and
/// at times the weights of one that has ended.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives memory back when it is dropped: the last field of what has much of it.
pub struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        give_back();
    }
}

/// Memory that the process can take without swapping, without being killed, and without being refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    pub bytes: u64,
    pub bound: Bound,
}

/// What limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Machine,
    ControlGroup,
    AddressSpace,
    Data,
}

/// Follows "… MB are free".
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "",
            Self::ControlGroup => " in this control group (the container's or service's limit)",
            Self::AddressSpace => " for this process (ulimit -v)",
            Self::Data => " for this process (ulimit -d)",
        })
    }
}

/// The free memory; `None`: the system does not tell.
pub fn free() -> Option<Free> {
    free_below(Path::new("/"))
}

/// The free memory of a system whose files are below `root`.
fn free_below(root: &Path) -> Option<Free> {
    let text = |path: &str| file::read_text(&root.join(path), MAX_TEXT_BYTES).unwrap_or_default();
    let machine = kilobytes(&text("proc/meminfo"), "MemAvailable:");
    let places = control_groups(&text("proc/self/cgroup"), &text("proc/self/mountinfo"));
    let groups = places.iter().flat_map(ControlGroup::up_the_tree);
    let groups = groups.filter_map(|(version, folder)| {
        let read =
            |name: &str| file::read_text(&root.join(folder.strip_prefix("/").ok()?).join(name), MAX_TEXT_BYTES).ok();
        let names = version.names();
        left(
            &read(names.limit)?,
            &read(names.usage)?,
            &read("memory.stat").unwrap_or_default(),
            names.cache,
        )
    });
    let (limits, status) = (text("proc/self/limits"), text("proc/self/status"));
    let process = |limit: &str, used: &str| {
        let limit = process_limit(&limits, limit)?;
        Some(limit.saturating_sub(kilobytes(&status, used)?))
    };
    let found = [
        (Bound::Machine, machine),
        (Bound::ControlGroup, groups.min()),
        (Bound::AddressSpace, process("Max address space", "VmSize:")),
        (Bound::Data, process("Max data size", "VmData:")),
    ];
    let found = found
        .into_iter()
        .filter_map(|(bound, bytes)| Some(Free { bytes: bytes?, bound }));
    found.min_by_key(|free| free.bytes)
}

/// The versions of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Names of a control group's files, and of the page cache in its `memory.stat`.
struct Names {
    limit: &'static str,
    usage: &'static str,
    cache: [&'static str; 2],
}

impl Version {
    fn names(self) -> Names {
        match self {
            Self::One => Names {
                limit: "memory.limit_in_bytes",
                usage: "memory.usage_in_bytes",
                cache: ["total_inactive_file", "total_active_file"],
            },
            Self::Two => Names {
                limit: "memory.max",
                usage: "memory.current",
                cache: ["inactive_file", "active_file"],
            },
        }
    }
}

/// A control group of this process.
#[derive(Debug, PartialEq, Eq)]
struct ControlGroup {
    version: Version,
    mount: PathBuf,
    /// Its folder below `mount`.
    below: PathBuf,
}

impl ControlGroup {
    /// Its folder and all folders above it: each has a limit of its own.
    fn up_the_tree(&self) -> impl Iterator<Item = (Version, PathBuf)> {
        self.below
            .ancestors()
            .map(|below| (self.version, self.mount.join(below)))
    }
}

/// The groups that limit this process's memory, by `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn control_groups(groups: &str, mounts: &str) -> Vec<ControlGroup> {
    let mut places = Vec::new();
    for line in groups.lines() {
        // "4:memory:/user/1000", and "0::/user/1000" of version 2.
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let version = match controllers {
            "" if number == "0" => Version::Two,
            _ if controllers.split(',').any(|controller| controller == "memory") => Version::One,
            _ => continue,
        };
        let mounted = mounts.lines().filter_map(|line| mount_of(line, version));
        places.extend(mounted.map(|(root, mount)| ControlGroup {
            version,
            mount,
            below: below(path, &root),
        }));
    }
    places
}

/// The root and the mount point of a tree of control groups, if a line of `mountinfo` has one.
fn mount_of(line: &str, version: Version) -> Option<(String, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (unescape(place.next()?), unescape(place.next()?));
    let mut kind = kind.split(' ');
    let (kind, options) = (kind.next()?, kind.nth(1)?);
    let fits = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        Version::Two => kind == "cgroup2",
    };
    fits.then(|| (root, PathBuf::from(mount)))
}

/// The folder of the group `path` below a mount of the group `root`. A path that is not below it, as in another
/// namespace, gives the mount itself.
fn below(path: &str, root: &str) -> PathBuf {
    let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    let is_below = below
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if is_below { below.into() } else { PathBuf::new() }
}

/// Undoes `mountinfo`'s escapes, such as "\040" for a blank.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// Bytes that a group leaves; `None`: it has no limit. The page cache is in `usage`, but the system frees it when
/// memory is needed.
fn left(limit: &str, usage: &str, stat: &str, cache: [&str; 2]) -> Option<u64> {
    let limit: u64 = limit.trim().parse().ok()?;
    let usage: u64 = usage.trim().parse().ok()?;
    let cached = stat.lines().filter_map(|line| line.split_once(' '));
    let cached = cached
        .filter(|(key, _)| cache.contains(key))
        .filter_map(|(_, bytes)| bytes.trim().parse().ok());
    let cached = cached.fold(0, u64::saturating_add);
    Some(limit.saturating_sub(usage.saturating_sub(cached)))
}

/// A soft limit of `/proc/self/limits`; `None`: there is none.
fn process_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The value of a line like "MemAvailable:   12345 kB", in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    4000000 kB\n";
    const STATUS: &str = "Name:\tgst\nVmPeak:\t 900000 kB\nVmSize:\t 800000 kB\nVmData:\t 300000 kB\n";
    const VERSION_TWO: &str = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const VERSION_ONE: &str = "30 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                               31 23 0:28 / /sys/fs/cgroup/memory rw shared:9 master:3 - cgroup cgroup rw,memory\n";

    fn limits(address_space: &str, data: &str) -> String {
        let line = |name: &str, soft: &str| format!("{name:<26}{soft:<21}unlimited            bytes     \n");
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        format!(
            "{head}{}{}",
            line("Max data size", data),
            line("Max address space", address_space)
        )
    }

    /// A folder with these files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn free(files: &[(&str, &str)]) -> Option<(u64, Bound)> {
        free_below(system(files).path()).map(|free| (free.bytes, free.bound))
    }

    #[test]
    fn a_machine_without_limits_has_what_is_available() {
        assert_eq!(free(&[]), None);
        assert_eq!(
            free(&[("proc/meminfo", MEMINFO)]),
            Some((4_096_000_000, Bound::Machine))
        );
        let unlimited = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/limits", &limits("unlimited", "unlimited")),
            ("proc/self/status", STATUS),
        ];
        assert_eq!(free(&unlimited), Some((4_096_000_000, Bound::Machine)));
    }

    #[test]
    fn the_tightest_group_up_the_tree_counts() {
        let at = |path: &str| format!("sys/fs/cgroup/{path}");
        let files = |limit: &str| {
            let files = [
                ("proc/meminfo".to_string(), MEMINFO.to_string()),
                ("proc/self/cgroup".into(), "0::/service/worker\n".into()),
                ("proc/self/mountinfo".into(), VERSION_TWO.into()),
                // The root has no limit, and no file for one.
                (at("service/memory.max"), limit.into()),
                (at("service/memory.current"), "500000000\n".into()),
                (
                    at("service/memory.stat"),
                    "anon 1\ninactive_file 100000000\nactive_file 50000000\nfile 150000000\n".into(),
                ),
                (at("service/worker/memory.max"), "max\n".into()),
                (at("service/worker/memory.current"), "400000000\n".into()),
            ];
            let files: Vec<_> = files.iter().map(|(path, text)| (&path[..], &text[..])).collect();
            free(&files)
        };
        // 900 MB less 500, of which 150 are page cache.
        assert_eq!(files("900000000\n"), Some((550_000_000, Bound::ControlGroup)));
        assert_eq!(files("max\n"), Some((4_096_000_000, Bound::Machine)));
        assert_eq!(files("100000000\n"), Some((0, Bound::ControlGroup)));
    }

    #[test]
    fn groups_of_version_one_count_too() {
        let files = |group: &str, mounts: &str| {
            let memory = |name: &str| format!("sys/fs/cgroup/memory/job/memory.{name}");
            free(&[
                ("proc/meminfo", MEMINFO),
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", mounts),
                (&memory("limit_in_bytes"), "900000000\n"),
                (&memory("usage_in_bytes"), "300000000\n"),
                (
                    &memory("stat"),
                    "inactive_file 7\ntotal_inactive_file 20000000\ntotal_active_file 10000000\n",
                ),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000000000\n"),
            ])
        };
        let found = Some((630_000_000, Bound::ControlGroup));
        assert_eq!(files("5:cpu,cpuacct:/\n4:memory:/job\n0::/\n", VERSION_ONE), found);
        // In a container, which sees its own part of the tree, or its path from outside.
        let part = VERSION_ONE.replace("0:28 / /sys/fs/cgroup/memory", "0:28 /docker/ab /sys/fs/cgroup/memory");
        assert_eq!(files("4:memory:/docker/ab/job\n", &part), found);
        assert_eq!(
            files("4:hugetlb:/job\n", VERSION_ONE),
            Some((4_096_000_000, Bound::Machine))
        );
    }

    #[test]
    fn what_is_mounted_elsewhere_or_seen_from_outside() {
        assert_eq!(below("/a/b", "/a"), PathBuf::from("b"));
        assert_eq!(below("/a/b", "/"), PathBuf::from("a/b"));
        assert_eq!(below("/", "/"), PathBuf::new());
        assert_eq!(below("/a/b", "/c"), PathBuf::new());
        assert_eq!(below("/../a", "/"), PathBuf::new());
        assert_eq!(unescape("/a\\040b\\134c\\x"), "/a b\\c\\x");
        assert_eq!(unescape("\\999é\\0é"), "\\999é\\0é");
        let mount = "1 2 0:3 / /mnt/my\\040groups rw - cgroup2 none rw";
        let place = &control_groups("0::/x\n", mount)[0];
        let folders: Vec<_> = place.up_the_tree().map(|(_, folder)| folder).collect();
        assert_eq!(
            folders,
            [PathBuf::from("/mnt/my groups/x"), PathBuf::from("/mnt/my groups/")]
        );
        assert_eq!(control_groups("nonsense\n1:\n\n", "- - -\n1 2\n"), []);
    }

    #[test]
    fn limits_of_the_process_count() {
        let files = |limits: &str| {
            free(&[
                ("proc/meminfo", MEMINFO),
                ("proc/self/limits", limits),
                ("proc/self/status", STATUS),
            ])
        };
        assert_eq!(
            files(&limits("1000000000", "unlimited")),
            Some((1_000_000_000 - 819_200_000, Bound::AddressSpace))
        );
        assert_eq!(
            files(&limits("2000000000", "400000000")),
            Some((400_000_000 - 307_200_000, Bound::Data))
        );
        assert_eq!(files(&limits("100", "unlimited")), Some((0, Bound::AddressSpace)));
    }

    #[test]
    fn this_machine_says_what_it_has() {
        // In a container at its limit, that may be nothing.
        let free = super::free().expect("what is free");
        assert!(free.bytes < 1 << 60, "{free:?}");
    }
}
