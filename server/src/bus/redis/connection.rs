//! One connection, and how requests are sent over it.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, Value, cmd, from_redis_value};

use super::Shared;
use crate::bus::BusError;

/// What requests need; a clone goes along with each that asks more than once.
#[derive(Clone)]
pub(super) struct RedisConnection {
    pub(super) connection: MultiplexedConnection,
    pub(super) shared: Arc<Shared>,
}

impl RedisConnection {
    /// Sends all commands and waits for all answers; the first that is an error is the result.
    pub(super) async fn request(&self, pipe: Pipeline) -> Result<Vec<Value>, BusError> {
        self.answers(pipe).await?.into_iter().collect()
    }

    /// Sends all commands and waits for all answers, of which each may be an error.
    pub(super) async fn answers(&self, pipe: Pipeline) -> Result<Vec<Result<Value, BusError>>, BusError> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.connection.clone().send_packed_commands(&pipe, 0, pipe.len()).await?;
        Ok(values.into_iter().map(|value| Ok(value.extract_error()?)).collect())
    }

    /// Waits for a sign of life; an error that Redis answers with is one.
    pub(super) async fn ping(&self) -> Result<(), BusError> {
        match cmd("PING").query_async::<Value>(&mut self.connection.clone()).await.map_err(BusError::from) {
            Ok(_) | Err(BusError::Unusable(_) | BusError::Rejected(_)) => Ok(()),
            Err(lost) => Err(lost),
        }
    }
}

/// Takes the refusal of one request for a result: only what else goes wrong is an error.
pub(super) fn allowed<T>(result: Result<T, BusError>) -> Result<Result<T, String>, BusError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(BusError::Rejected(why)) => Ok(Err(why)),
        Err(error) => Err(error),
    }
}

/// A value as what it should be.
pub(super) fn read<T: FromRedisValue>(value: Option<Value>) -> Result<T, BusError> {
    from_redis_value(value.unwrap_or(Value::Nil)).map_err(|error| BusError::Rejected(error.to_string()))
}
