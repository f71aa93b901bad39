//! The settings of the first node, replaced all the time: by others, by what is not TOML, by what is not a file.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Attack, count_round};

/// How long each of them stays.
const STAYS: Duration = Duration::from_millis(150);

pub const ATTACK: Attack = Attack {
    name: "reloads",
    about: "seven times a second the settings are edited, broken, or a FIFO, a folder, a link or 20 MB in their place",
    start: |target| {
        let good = fs::read_to_string(&target.config)?;
        let target = target.clone();
        thread::spawn(move || {
            for number in 0_u64.. {
                if replace(&target.config, &good, number).is_ok() {
                    count_round();
                }
                thread::sleep(STAYS);
            }
        });
        Ok(())
    },
};

fn replace(config: &Path, good: &str, number: u64) -> Result<()> {
    let new = config.with_extension("new");
    let edited = format!("{good}[limits]\nmax_joins_per_second = {}\n", 2_000 + number % 1_000);
    let _none_left = fs::remove_file(&new).or_else(|_| fs::remove_dir(&new));
    let _a_folder = fs::remove_dir(config);
    match number % 8 {
        1 => fs::write(&new, &edited[..edited.len() / 2])?,
        2 => mknodat(CWD, &new, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?,
        3 => fs::write(&new, "x = 1\n".repeat(3_500_000))?,
        4 => std::os::unix::fs::symlink("nowhere", &new)?,
        5 => {
            fs::remove_file(config)?;
            fs::create_dir(&new)?;
        }
        6 => fs::write(&new, [0xff, 0xfe, 0])?,
        _ => fs::write(&new, edited)?,
    }
    Ok(fs::rename(&new, config)?)
}
