//! The training half of the quickstart: elastic nets on the diabetes data set.

use linfa::Dataset;
use linfa::traits::{Fit, Predict};
use linfa_elasticnet::ElasticNet;
use ndarray::{Array1, Array2, s};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Result;

/// Of 442 rows so many are for training; the others are held out.
const TRAINING_ROWS: usize = 330;
/// Penalties of the regularisation path, from strong to weak.
const PATH: usize = 25;
/// Pixels of the picture.
const SIZE: (u32, u32) = (640, 400);

/// The diabetes data, split.
pub struct Data {
    training: Dataset<f64, f64, ndarray::Ix1>,
    held_out: (Array2<f64>, Array1<f64>),
    /// SHA-256 over all values, shortened to what MLflow's digests hold.
    pub digest: String,
}

/// What the training of one net gives.
pub struct Trained {
    /// Root mean squared error on the held-out rows.
    pub rmse: f64,
    /// Mean absolute error on the held-out rows.
    pub mae: f64,
    /// Coefficient of determination on the held-out rows.
    pub r2: f64,
    /// The error on the held-out rows along the regularisation path.
    pub path_rmse: Vec<f64>,
    /// The model's file.
    pub model: Vec<u8>,
    /// The picture of the coefficients along the path, a PNG.
    pub picture: Vec<u8>,
}

/// A linear model as its file holds it.
#[derive(Serialize, Deserialize)]
pub struct Model {
    coefficients: Vec<f64>,
    intercept: f64,
}

impl Model {
    /// Reads a model's file.
    pub fn load(file: &[u8]) -> Result<Self> {
        Ok(serde_json::from_slice(file)?)
    }

    fn predict(&self, rows: &Array2<f64>) -> Array1<f64> {
        rows.dot(&Array1::from(self.coefficients.clone())) + self.intercept
    }

    /// Root mean squared error on the held-out rows.
    pub fn rmse(&self, data: &Data) -> f64 {
        rmse(&self.predict(&data.held_out.0), &data.held_out.1)
    }
}

/// Loads the data set; every fourth row is held out.
pub fn data() -> Data {
    let all = linfa_datasets::diabetes();
    let mut order: Vec<usize> = (0..all.records.nrows()).collect();
    order.sort_by_key(|row| (row % 4 == 3, *row));
    let records = all.records.select(ndarray::Axis(0), &order);
    let targets = all.targets.select(ndarray::Axis(0), &order);
    let mut digest = Sha256::new();
    all.records.iter().chain(all.targets.iter()).for_each(|value| digest.update(value.to_le_bytes()));
    let split = TRAINING_ROWS;
    Data {
        training: Dataset::new(records.slice(s![..split, ..]).to_owned(), targets.slice(s![..split]).to_owned()),
        held_out: (records.slice(s![split.., ..]).to_owned(), targets.slice(s![split..]).to_owned()),
        digest: hex::encode(digest.finalize())[..32].to_owned(),
    }
}

/// Trains one net and its path.
pub fn train(data: &Data, alpha: f64, l1_ratio: f64) -> Result<Trained> {
    let net = fit(data, alpha, l1_ratio)?;
    let (rows, truth) = &data.held_out;
    let predicted = net.predict(rows);
    let mean = truth.mean().unwrap_or_default();
    let residual = (&predicted - truth).mapv(|error| error * error).sum();
    let total = truth.mapv(|value| (value - mean) * (value - mean)).sum();
    let mut path_rmse = Vec::with_capacity(PATH);
    let mut lines = Vec::with_capacity(PATH);
    for step in 0..PATH {
        let strength = f64::from(u32::try_from(PATH - 1 - step)?) / 6.0 - 3.0;
        let model = fit(data, 10_f64.powf(strength), l1_ratio)?;
        path_rmse.push(model.rmse(data));
        lines.push(model.coefficients);
    }
    Ok(Trained {
        rmse: rmse(&predicted, truth),
        mae: (&predicted - truth).mapv(f64::abs).mean().unwrap_or_default(),
        r2: 1.0 - residual / total,
        path_rmse,
        picture: picture(&lines)?,
        model: serde_json::to_vec_pretty(&net)?,
    })
}

fn fit(data: &Data, penalty: f64, l1_ratio: f64) -> Result<Model> {
    let net = ElasticNet::params().penalty(penalty).l1_ratio(l1_ratio).fit(&data.training)?;
    // What is predicted for no rows shows that the crate's own prediction and ours have the same shape.
    debug_assert_eq!(net.predict(&data.held_out.0).len(), data.held_out.1.len());
    Ok(Model { coefficients: net.hyperplane().to_vec(), intercept: net.intercept() })
}

fn rmse(predicted: &Array1<f64>, truth: &Array1<f64>) -> f64 {
    (predicted - truth).mapv(|error| error * error).mean().unwrap_or_default().sqrt()
}

/// The coefficients along the path, one line each.
fn picture(path: &[Vec<f64>]) -> Result<Vec<u8>> {
    let (width, height) = SIZE;
    let mut pixels = vec![255_u8; (width * height * 3) as usize];
    let largest = path.iter().flatten().fold(1.0_f64, |largest, value| largest.max(value.abs()));
    {
        let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area).margin(20).build_cartesian_2d(0..path.len() - 1, -largest..largest)?;
        for feature in 0..path[0].len() {
            let points = path.iter().enumerate().map(|(step, coefficients)| (step, coefficients[feature]));
            let colour = HSLColor(feature as f64 / path[0].len() as f64, 0.7, 0.45);
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
        area.present()?;
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}
