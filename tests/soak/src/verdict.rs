//! What is checked, a line each, and the line that counts them.

/// The checks so far.
#[derive(Debug, Default)]
pub struct Verdict {
    passed: usize,
    failed: usize,
}

impl Verdict {
    /// Prints a check and whether it holds. `found` says what was found.
    pub fn check(&mut self, what: &str, holds: Holds, found: &str) {
        match holds {
            Holds::Yes => self.passed += 1,
            Holds::No => self.failed += 1,
        }
        println!("{:<6} {what}: {found}", if holds == Holds::Yes { "ok" } else { "FAILED" });
    }

    /// How many have failed so far.
    #[cfg(test)]
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Prints the last line. Returns whether nothing has failed.
    pub fn end(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

/// Whether a check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Yes,
    No,
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Holds {
        if holds { Holds::Yes } else { Holds::No }
    }
}
