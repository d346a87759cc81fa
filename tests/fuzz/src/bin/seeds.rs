//! Writes the seeds of every target: `fuzz-seeds FOLDER` makes a folder a target below FOLDER, a file a seed.

use std::path::PathBuf;
use std::{env, fs, io};

use masthead_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("usage: fuzz-seeds FOLDER"));
    };
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        let seeds = (target.seeds)();
        println!("{}: {} seeds", target.name, seeds.len());
        for (i, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{i:05}")), seed)?;
        }
    }
    Ok(())
}
