//! The database whose changes a tenant shows: the extension `postgres_cdc_rls`.

use serde_json::{Map, Value, json};

use super::value;
use crate::cli::input::Input;

/// The settings that have to be read from a file, whatever they are called.
const SECRET: &str = "db_password";

/// A description of the database, as a whole.
#[derive(Debug, clap::Args)]
#[group(id = "database", multiple = true)]
pub(super) struct Database {
    /// Region in which the database is
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    region: Option<String>,

    /// Host of the database
    #[arg(long, value_name = "HOST", help_heading = "Database")]
    db_host: Option<String>,

    /// Port of the database
    #[arg(long, value_name = "PORT", help_heading = "Database")]
    db_port: Option<u16>,

    /// Name of the database
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    db_name: Option<String>,

    /// User of the database
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    db_user: Option<String>,

    /// File with the password of that user, or - for stdin
    #[arg(long, value_name = "FILE|-", help_heading = "Database")]
    db_password_file: Option<Input>,

    /// A further setting, such as publication=supabase_realtime, poll_interval_ms=100 or ssl_enforced=true; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting, help_heading = "Database")]
    db_setting: Vec<(String, Value)>,
}

/// What is JSON is that, and the rest is text.
fn parse_setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name == SECRET {
        return Err("the password is read from a file: --db-password-file".into());
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_text| value.into())))
}

impl Database {
    /// Where its password is read from.
    pub(super) fn password_input(&self) -> &Option<Input> {
        &self.db_password_file
    }

    /// Adds the extension, if any option of it is given.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub(super) fn add_to(&self, body: &mut Map<String, Value>) -> anyhow::Result<()> {
        let text = |option: &Option<String>| option.clone().map(Value::from);
        let password = self.db_password_file.as_ref();
        let password = password.map(|input| value::secret(input, "--db-password-file")).transpose()?;
        let options = [
            ("region", text(&self.region)),
            ("db_host", text(&self.db_host)),
            // A text in the API.
            ("db_port", self.db_port.map(|port| port.to_string().into())),
            ("db_name", text(&self.db_name)),
            ("db_user", text(&self.db_user)),
            (SECRET, password),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let settings: Map<_, _> = given.chain(self.db_setting.iter().cloned()).collect();
        if !settings.is_empty() {
            body.insert("extensions".into(), json!([{ "type": "postgres_cdc_rls", "settings": settings }]));
        }
        Ok(())
    }
}
