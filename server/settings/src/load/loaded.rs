//! What a load returns: the settings, and where they come from.

use std::path::PathBuf;

use super::files::Files;
use super::layer::Layer;
use super::merge::Merged;
use crate::Settings;
use crate::note::Note;
use crate::values::Values;

/// Settings, and where they come from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What was accepted without effect, or is insecure, a sentence each: to be logged once.
    pub notes: Vec<Note>,
    /// The settings as values, for comparison on a reload.
    pub(crate) values: Values,
    /// The files they were read from.
    pub(crate) files: Files,
    pub(super) secret_files: Vec<PathBuf>,
    pub(super) merged: Merged,
    pub(super) layers: Vec<Layer>,
}

impl Loaded {
    /// What is written in each layer, to be compared with what is read later.
    pub(crate) fn accepted_layers(&self) -> Vec<Layer> {
        self.layers.iter().map(Layer::without_positions).collect()
    }
}
