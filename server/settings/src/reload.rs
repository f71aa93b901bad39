//! A reload: all layers are read again, and what of them can be used is compared with what is running.
//!
//! What is refused must not hold back the rest: a mistake in `config.toml` must not keep a password in use that was rotated. So a
//! source keeps the text that was accepted of it last if its new one is refused, and others are applied. The files of the
//! configuration are one source, because a section may be spread over them; a file with a secret is one by itself.

use crate::load::{Files, Layer, Origin, ReadLayers};
use crate::problem::LoadError;
use crate::{RunningSettings, Sources, Update};

/// A reload of which something is refused.
#[derive(Debug)]
pub struct RefusedReload {
    /// Every problem found.
    pub error: LoadError,
    /// What can be applied all the same, if anything was edited that can.
    pub rest: Option<Box<Update>>,
}

impl Sources {
    /// Reads all layers again, and compares them with what is `running`. `check` refuses what is wrong for other reasons than the
    /// settings themselves.
    ///
    /// # Errors
    /// Every problem found, a file that has vanished or been emptied included, and if the new values do not go
    /// together with those that stay until a restart. Then what is refused stays as it is running.
    pub fn reload(
        &self,
        running: &RunningSettings,
        check: impl Fn(&Update) -> Result<(), LoadError>,
    ) -> Result<Update, RefusedReload> {
        let read = self.read(&running.files);
        let update = |layers: ReadLayers| {
            let update = layers.load_again(running.default_tenant())?.update(running)?;
            check(&update).map(|()| update)
        };
        update(read.clone())
            .map_err(|error| RefusedReload { error, rest: rest(&read, running, update).map(Box::new) })
    }
}

/// What a layer is accepted or refused with.
#[derive(PartialEq, Eq)]
enum Source<'a> {
    /// All files of the configuration.
    Files,
    /// A variable, or the file that it names.
    Variable(&'a str),
    /// What does not change while a server runs.
    Constant,
}

fn source(layer: &Layer) -> Source<'_> {
    match layer.origin {
        Origin::File => Source::Files,
        Origin::Variable => Source::Variable(&layer.name),
        Origin::Fallback | Origin::Flag => Source::Constant,
    }
}

/// What can be used of layers that are refused together: to those that were accepted, one source after the other is added.
fn rest(
    read: &ReadLayers,
    running: &RunningSettings,
    update: impl Fn(ReadLayers) -> Result<Update, LoadError>,
) -> Option<Update> {
    let (mut layers, mut files, mut usable) = (running.layers.clone(), running.files.clone(), None);
    for source in changed(read, running) {
        let more = with_source(&layers, &read.layers, &source);
        if more == read.layers {
            // Refused already.
            continue;
        }
        let more_files = if source == Source::Files { &read.files } else { &files };
        if let Ok(accepted) = update(read.with(more.clone(), Files::clone(more_files))) {
            (files, layers, usable) = (Files::clone(more_files), more, Some(accepted));
        }
    }
    usable
}

/// The sources that could be read, and have something else than before. One that could not be read has no layer.
fn changed<'a>(read: &'a ReadLayers, running: &RunningSettings) -> Vec<Source<'a>> {
    let mut changed = Vec::new();
    for one in read.layers.iter().map(source) {
        let is_read = one != Source::Files || read.has_all_files;
        if is_read && !changed.contains(&one) && !of(&read.layers, &one).eq(of(&running.layers, &one)) {
            changed.push(one);
        }
    }
    changed
}

fn of<'a>(layers: &'a [Layer], one: &'a Source<'_>) -> impl Iterator<Item = &'a Layer> {
    layers.iter().filter(move |layer| source(layer) == *one)
}

/// `layers` with those of `one` source as in `new`.
fn with_source(layers: &[Layer], new: &[Layer], one: &Source<'_>) -> Vec<Layer> {
    let place = layers.iter().position(|layer| source(layer) == *one);
    let fallbacks = || layers.iter().take_while(|layer| layer.origin == Origin::Fallback).count();
    let (below, above) = layers.split_at(place.unwrap_or_else(fallbacks));
    let above = above.iter().filter(|layer| source(layer) != *one);
    below.iter().chain(of(new, one)).chain(above).cloned().collect()
}
