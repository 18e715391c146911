//! What processes take of the machine, as Linux tells it in `/proc`. Elsewhere
//! it is not known.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// A process's CPU time, in clock ticks, from `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    parent: u32,
    own: u64,
    /// Of children that have ended and were waited for.
    ended_children: u64,
}

fn ticks(pid: u32) -> Option<Ticks> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `PID (NAME) STATE PPID ...`; a name may have blanks and brackets in it.
fn parse(stat: &str) -> Option<Ticks> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // Field 3 of proc(5) is the first one here.
    let number = |field: usize| fields.get(field.checked_sub(3)?)?.parse::<u64>().ok();
    Some(Ticks {
        parent: u32::try_from(number(4)?).ok()?,
        own: number(14)? + number(15)?,
        ended_children: number(16)? + number(17)?,
    })
}

fn seconds(ticks: u64) -> f64 {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    f64::from(ticks) / f64::from(i32::try_from(per_second).unwrap_or(100))
}

/// CPU seconds that a process has used, its threads included.
#[must_use]
pub(super) fn cpu(pid: u32) -> Option<f64> {
    ticks(pid).map(|ticks| seconds(ticks.own))
}

/// How often children are looked for again, where one has ended meanwhile.
const TRIES: usize = 20;

/// CPU seconds that a process and all its children have used, those that have
/// ended included: a PostgreSQL with its backends.
#[must_use]
pub(super) fn cpu_with_children(pid: u32) -> Option<f64> {
    let mut root = ticks(pid)?;
    let mut children = 0;
    for _ in 0..TRIES {
        children = living_children(pid)?;
        let now = ticks(pid)?;
        // One that ended between the two looks would be in neither.
        if now.ended_children == root.ended_children {
            break;
        }
        root = now;
    }
    Some(seconds(root.own + root.ended_children + children))
}

fn living_children(pid: u32) -> Option<u64> {
    let mut sum = 0;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let child: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(found) = child.and_then(ticks)
            && found.parent == pid
        {
            sum += found.own;
        }
    }
    Some(sum)
}

/// Bytes of memory that a process has now, and had at most.
#[must_use]
pub(super) fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    };
    Some((bytes("VmRSS:")?, bytes("VmHWM:")?))
}

/// What the machine's processor calls itself.
#[must_use]
pub(super) fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_even_if_its_name_has_blanks_and_brackets() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 9 8 7 6 100 20 3 4 20 0 5 0 1234 0 0";
        assert_eq!(parse(stat), Some(Ticks { parent: 1, own: 120, ended_children: 7 }));
        assert_eq!(parse("nonsense"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_memory_and_knows_it() {
        let (now, most) = memory(std::process::id()).unwrap();
        assert!(now > 1 << 20 && most >= now);
        assert!(cpu(std::process::id()).is_some());
    }
}
