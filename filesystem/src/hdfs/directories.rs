//! Directories that nobody needs any more.
//!
//! They stay when they are empty, as somebody may have made them with rights of their own. Below a root that is ours they
//! go: with the last file that is removed in them, and with one that was given up.

use hdfs_native::HdfsError;

use super::failure::HdfsFailure;
use super::hidden;
use super::session::Session;
use super::settings::Settings;

/// Removes the directory that `file` was in and those above it up to `root`, that one too, as long as they are empty.
pub(super) async fn remove_empty(
    session: &Session,
    settings: &Settings,
    file: &str,
    root: &str,
) -> Result<(), HdfsFailure> {
    let below = format!("{}/", root.trim_end_matches('/'));
    let mut next = hidden::parent(file);
    while let Some(directory) = next.filter(|directory| *directory == root || directory.starts_with(&below)) {
        if !remove_if_empty(session, settings, directory).await? {
            break;
        }
        next = hidden::parent(directory);
    }
    Ok(())
}

async fn remove_if_empty(session: &Session, settings: &Settings, directory: &str) -> Result<bool, HdfsFailure> {
    // The name node writes a refusal to remove what is not empty into its log, so it is not asked to without need.
    let listing = session.client.list_status_iter(directory, false);
    match session.within(settings.answer, async { listing.next().await.transpose() }).await {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(false),
        Err(error) if error.is_not_found() => return Ok(true),
        Err(error) => return Err(error),
    }
    match session.within(settings.answer, session.client.delete(directory, false)).await {
        // Gone, by this or by somebody else.
        Ok(_) => Ok(true),
        // Somebody has written into it, or it is not ours to remove.
        Err(HdfsFailure::Hdfs(HdfsError::RPCError(..) | HdfsError::FatalRPCError(..))) => Ok(false),
        Err(error) => Err(error),
    }
}
