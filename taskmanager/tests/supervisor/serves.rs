//! What the TaskManager serves to its JobManager.

use pelton_proto::read_log_request::Which;
use pelton_proto::task_manager_client::TaskManagerClient;
use pelton_proto::{ListLogsRequest, ReadLogRequest, ThreadDumpRequest, Unit};
use tonic::Status;
use tonic::transport::Channel;

use crate::cluster::Cluster;

async fn client(cluster: &Cluster) -> TaskManagerClient<Channel> {
    TaskManagerClient::connect(format!("http://{}", cluster.task_manager.rpc_address())).await.unwrap()
}

async fn read(client: &mut TaskManagerClient<Channel>, which: Which) -> Result<Vec<u8>, Status> {
    let mut chunks = client.read_log(ReadLogRequest { which: Some(which) }).await?.into_inner();
    let mut content = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        content.extend(chunk.data);
    }
    Ok(content)
}

#[tokio::test]
async fn logs_are_listed_and_read_in_pieces() {
    let mut cluster = Cluster::start().await;
    cluster.run(1, "seq 1 50000; echo complained >&2").await;
    cluster.exited().await;
    let mut client = client(&cluster).await;
    let files = client.list_logs(ListLogsRequest {}).await.unwrap().into_inner().files;
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    let worker_log = format!("tm-worker-{}.log", "01".repeat(16));
    assert_eq!(names, [worker_log.as_str(), "tm.out"]);
    let out = read(&mut client, Which::Stdout(Unit {})).await.unwrap();
    assert_eq!(out.len() as u64, files[1].size_bytes);
    assert!(out.ends_with(b"\n49999\n50000\n"));
    assert_eq!(read(&mut client, Which::Name(worker_log)).await.unwrap(), b"complained\n");
}

#[tokio::test]
async fn nothing_outside_of_the_log_folder_is_read() {
    let cluster = Cluster::start().await;
    let mut client = client(&cluster).await;
    std::fs::write(cluster.folder.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", cluster.folder.path().join("log/link")).unwrap();
    for name in ["../secret", "/etc/passwd", "link", "..", ""] {
        let refused = read(&mut client, Which::Name(name.to_owned())).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::NotFound, "{name}");
    }
}

#[tokio::test]
async fn a_thread_dump_shows_supervisor_and_workers() {
    let mut cluster = Cluster::start().await;
    cluster.run(1, "read nothing").await;
    let mut client = client(&cluster).await;
    let threads = client.thread_dump(ThreadDumpRequest {}).await.unwrap().into_inner().threads;
    let has = |part: &str| threads.iter().any(|thread| thread.name.contains(part));
    assert!(has("memory-watch") && has("guard") && has("worker 0101"), "{threads:?}");
}
