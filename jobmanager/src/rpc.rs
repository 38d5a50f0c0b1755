//! The gRPC services, where wire types meet the actors' handles.

mod dispatcher;
mod job_master;
mod resource_manager;
mod results;
mod status;

use std::sync::Arc;

use pelton_proto as proto;
use pelton_runtime_core::env::Env;
use tonic::service::Routes;

use crate::blob::BlobStore;
use crate::dispatcher::DispatcherHandle;
use crate::operations::Operations;
use crate::resource_manager::ResourceManagerHandle;

/// The largest message that carries a job graph.
const MAX_GRAPH_BYTES: usize = 64 << 20;

/// The largest report of a worker: a task's state that is kept here, and some.
const MAX_REPORT_BYTES: usize = 8 << 20;

/// What the services speak for.
#[derive(Clone)]
pub struct Services {
    /// Time and spawning.
    pub env: Env,
    /// Takes jobs.
    pub dispatcher: DispatcherHandle,
    /// Takes TaskManagers.
    pub resource_manager: ResourceManagerHandle,
    /// What people have started.
    pub operations: Operations,
    /// Keeps artifacts.
    pub blobs: Arc<BlobStore>,
}

/// All services; unknown methods are answered in gRPC's way.
pub fn router(services: Services) -> axum::Router {
    let dispatcher = proto::dispatcher_server::DispatcherServer::new(services.clone());
    let job_master = proto::job_master_server::JobMasterServer::new(services.clone());
    let job_master = job_master.max_decoding_message_size(MAX_REPORT_BYTES);
    let resource_manager = proto::resource_manager_server::ResourceManagerServer::new(services);
    Routes::new(dispatcher.max_decoding_message_size(MAX_GRAPH_BYTES))
        .add_service(job_master)
        .add_service(resource_manager)
        .into_axum_router()
}
