//! The main job, told by real calls: a training platform logs runs and registers a model, a data
//! scientist asks for its promotion, a manager decides, a deployer hears of it, an auditor verifies.
//!
//! ```text
//! cargo run --release --example quickstart [-- --data-dir DIR] [--keep-running]
//! ```

mod audit;
mod clients;
mod promotion;
mod tracking;
mod training;

use std::path::PathBuf;

use clap::Parser;
use clients::Clients;
use stagegate::cli::Instance;
use stagegate::config::{DataOptions, ServeOptions};
use stagegate::contract::v1;
use tonic::transport::{Channel, Endpoint};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The registered model of the story.
const MODEL: &str = "my_enet_model";
/// The experiment of the story.
const EXPERIMENT: &str = "diabetes";

#[derive(Parser)]
struct Options {
    /// Keep the data here; without it, a temporary folder is used and removed.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Leave the server up at the end.
    #[arg(long)]
    keep_running: bool,
}

/// Everybody in the story.
struct People {
    ann: Clients,
    eve: Clients,
    max: Clients,
    ada: Clients,
    trainer: Clients,
    deployer: Clients,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let temporary = tempfile::tempdir()?;
    let folder = options.data_dir.clone().unwrap_or_else(|| temporary.path().join("data"));
    let password = format!("quickstart {}", stagegate::clock::new_uid());
    let data = DataOptions { data_dir: Some(folder.clone()), ..DataOptions::default() };
    let anywhere = ServeOptions { listen: Some(([127, 0, 0, 1], 0).into()), ..ServeOptions::default() };
    let instance = Instance::start(&data, &anywhere, Some(password.clone())).await?;
    if instance.generated_password().is_none() && folder.join("quickstart.done").exists() {
        return Err("the story was told in this folder before; take another --data-dir".into());
    }
    say("A server", &format!("Stagegate runs on {} with its data in {}.", instance.url(), folder.display()));

    let channel = Endpoint::from_shared(instance.url())?.connect().await?;
    let mut people = introduce(&channel, &password).await?;
    let experiment_id = set_the_stage(&mut people.ann).await?;
    let trained = tracking::train_and_log(&mut people.trainer, &experiment_id).await?;
    tracking::register(&mut people.trainer, &trained).await?;
    promotion::tell(&mut people).await?;
    audit::tell(&mut people.ada, &folder, temporary.path()).await?;
    std::fs::write(folder.join("quickstart.done"), "")?;

    if options.keep_running {
        println!("\nThe server stays up at {} until Ctrl-C.", instance.url());
        println!("Sign in as `admin` with the password: {password}");
        tokio::signal::ctrl_c().await?;
    }
    drop(people);
    instance.stop().await
}

/// The admin makes the users and service accounts of the story.
async fn introduce(channel: &Channel, admin_password: &str) -> Result<People> {
    let mut admin = Clients::sign_in(channel, "admin", admin_password).await?;
    let mut clients = Vec::new();
    let persons = [("ann", "data_scientist"), ("eve", "ml_engineer"), ("max", "manager"), ("ada", "auditor")];
    for (name, persona) in persons {
        let (first, own) = (format!("the first password of {name}"), format!("the password of {name}"));
        let request = v1::CreateUserRequest {
            user_name: name.into(),
            password: first.clone(),
            persona: persona.into(),
            ..v1::CreateUserRequest::default()
        };
        admin.access.create_user(request).await?;
        // What the admin set can do one thing: be changed.
        let request = v1::SetPasswordRequest { current_password: first.clone(), new_password: own.clone(), ..Default::default() };
        Clients::sign_in(channel, name, &first).await?.access.set_password(request).await?;
        clients.push(Clients::sign_in(channel, name, &own).await?);
    }
    for persona in ["trainer", "deployer"] {
        let request = v1::CreateServiceAccountRequest {
            user_name: persona.into(),
            persona: persona.into(),
            ..v1::CreateServiceAccountRequest::default()
        };
        admin.access.create_service_account(request).await?;
        clients.push(admin.for_account(channel, persona).await?.0);
    }
    say(
        "People",
        "admin made ann (data scientist), eve (ML engineer), max (manager), ada (auditor), and service\naccounts \
         for the training platform and the deployer, which sign in with tokens. Each person changed the\npassword \
         that admin had given.",
    );
    let [ann, eve, max, ada, trainer, deployer] = <[Clients; 6]>::try_from(clients).map_err(|_| "six were made")?;
    Ok(People { ann, eve, max, ada, trainer, deployer })
}

/// The data scientist makes the places that the training job writes to.
async fn set_the_stage(ann: &mut Clients) -> Result<String> {
    let request = v1::CreateExperimentRequest { name: EXPERIMENT.into(), ..v1::CreateExperimentRequest::default() };
    let experiment_id = ann.tracking.create_experiment(request).await?.into_inner().experiment_id;
    let request = v1::CreateRegisteredModelRequest {
        name: MODEL.into(),
        description: "Elastic net on the diabetes data".into(),
        ..v1::CreateRegisteredModelRequest::default()
    };
    ann.registry.create_registered_model(request).await?;
    say("Places", &format!("ann made the experiment {EXPERIMENT:?} (id {experiment_id}) and the registered model {MODEL:?}."));
    Ok(experiment_id)
}

/// Prints a chapter.
fn say(title: &str, text: &str) {
    println!("\n== {title}");
    println!("{text}");
}
