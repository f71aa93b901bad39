//! An operator creates tenants as fast as the store commits them.

use std::time::Duration;

use anyhow::Result;

use super::attacker::Attacker;
use super::{Attack, Nodes};
use crate::operator::{self, Operator};
use crate::report::Goal;

/// Calls at the same time.
const CONNECTIONS: usize = 16;

/// In the embedded store.
pub const CREATIONS: Attack = Attack {
    nodes: Nodes::One,
    variables: || Ok(operator::variables().into()),
    attacker: |targets, _| {
        Ok(Box::new(Creations { operator: Operator::connect(targets[0], CONNECTIONS)?, next: 0 }))
    },
    presence: Goal::None,
    effect: "tenants created/s",
    before: Duration::ZERO,
};

/// In PostgreSQL.
pub const CREATIONS_ON_POSTGRES: Attack = Attack { nodes: Nodes::OneOnPostgres, ..CREATIONS };

struct Creations {
    operator: Operator,
    next: usize,
}

impl Attacker for Creations {
    fn attack(&mut self) -> Result<u64> {
        self.operator.create(self.next..self.next + CONNECTIONS)?;
        self.next += CONNECTIONS;
        Ok(CONNECTIONS as u64)
    }

    fn rest(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    }
}
