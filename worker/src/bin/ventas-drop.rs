//! `ventas-drop`: makes one day's drop of the ventas pipeline from the real purchases.
//!
//! Purchases (who, when, how many, how much) are those of the CDNOW data set. Everything else, names, e-mail, cards,
//! regions and products, is made up from a seed: the same seed and day give the same bytes. On a dirty day a few rows
//! are spoiled, each in one of the ways that the pipeline's quality suite must find.

#[path = "../storage.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "compiled in so that this program does not link the query engine; it only puts objects"
)]
mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use flate2::read::MultiGzDecoder;
use jiff::civil::Date;
use serde_json::json;
use sha2::{Digest, Sha256};

use storage::{Storage, StorageError};

const REGIONS: [(&str, &[&str]); 4] = [
    ("LATAM", &["AR", "BR", "CL", "CO", "MX"]),
    ("NA", &["US", "CA"]),
    ("EU", &["DE", "ES", "FR", "IT"]),
    ("APAC", &["AU", "JP", "KR"]),
];
const NAMES: [&str; 16] = [
    "ana", "bruno", "carla", "diego", "elena", "fabio", "gala", "hugo", "irene", "joel", "karen", "luis",
    "marta", "nico", "olga", "pablo",
];
const SURNAMES: [&str; 12] = [
    "alba", "bravo", "campos", "duarte", "eiras", "franco", "gil", "herrera", "ibarra", "juncal", "lagos",
    "moya",
];
const CATEGORIES: [&str; 5] = ["rock", "jazz", "clasica", "latina", "electronica"];
const PRODUCTS: u64 = 40;

/// Every how many rows of a dirty day one is spoiled.
const SPOILED_EVERY: usize = 12;

/// Makes ventas_<day>.csv, clientes_<day>.csv and productos_<day>.csv.
#[derive(Debug, Parser)]
#[command(name = "ventas-drop")]
struct Arguments {
    /// The day, as YYYY-MM-DD.
    #[arg(long)]
    date: Date,
    /// The folder the files go to: s3://bucket/prefix/, file:///path/ or a relative path.
    #[arg(long)]
    to: String,
    /// Where the purchases are: gzip, lines of customer, YYYYMMDD, quantity, amount.
    #[arg(long, default_value = "data/cdnow_master.txt.gz")]
    purchases: String,
    /// What the made-up values grow from.
    #[arg(long, default_value_t = 1997)]
    seed: u64,
    /// Days whose rows are partly spoiled.
    #[arg(long)]
    dirty: Vec<Date>,
}

#[derive(Debug, PartialEq, Eq)]
struct Purchase {
    customer: String,
    quantity: String,
    amount: String,
}

/// The day's purchases, and every customer's first day.
struct Day {
    purchases: Vec<Purchase>,
    first_days: BTreeMap<String, Date>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = std::env::vars_os()
        .find(|(name, _)| name == "CAUCE_OUTPUT_FILE")
        .map(|(_, path)| PathBuf::from(path));
    match work(&arguments, output.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "ventas-drop: {message}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments, output: Option<&Path>) -> Result<(), String> {
    let folder =
        std::env::current_dir().map_err(|error| format!("cannot see the working folder: {error}"))?;
    let storage = Storage::new(folder);
    let from = storage.locate(&arguments.purchases).map_err(|error| error.to_string())?;
    let to = storage.locate(&arguments.to).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let packed = runtime.block_on(storage.get(&from)).map_err(explain)?;
    let day = read(&packed, &from.to_string(), arguments.date)?;
    let rows = day.purchases.len();
    let files = files(&day, arguments.date, arguments.seed, arguments.dirty.contains(&arguments.date));
    let names: Vec<String> = files.keys().map(|name| to.join(name).to_string()).collect();
    runtime.block_on(async {
        for (name, text) in files {
            storage.put(&to.join(&name), text.into_bytes()).await.map_err(explain)?;
        }
        Ok::<(), String>(())
    })?;
    if let Some(output) = output {
        let answer = json!({"rows": rows, "files": names}).to_string();
        std::fs::write(output, answer)
            .map_err(|error| format!("cannot write {}: {error}", output.display()))?;
    }
    let _ = writeln!(std::io::stderr(), "ventas-drop: {rows} purchases of {} in {to}", arguments.date);
    Ok(())
}

/// A storage error with its cause, on one line.
fn explain(error: StorageError) -> String {
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

fn read(packed: &[u8], shown: &str, date: Date) -> Result<Day, String> {
    let wanted = date.strftime("%Y%m%d").to_string();
    let mut day = Day { purchases: Vec::new(), first_days: BTreeMap::new() };
    for (number, line) in BufReader::new(MultiGzDecoder::new(packed)).lines().enumerate().skip(1) {
        let line = line.map_err(|error| format!("cannot read {shown}: {error}"))?;
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [customer, on, quantity, amount] = fields.as_slice() else {
            return Err(format!("{shown} line {}: {} fields instead of 4", number + 1, fields.len()));
        };
        let parsed: Date =
            on.parse().map_err(|_| format!("{shown} line {}: `{on}` is not a date", number + 1))?;
        let first = day.first_days.entry((*customer).to_owned()).or_insert(parsed);
        *first = (*first).min(parsed);
        if *on == wanted {
            day.purchases.push(Purchase {
                customer: (*customer).to_owned(),
                quantity: (*quantity).to_owned(),
                amount: (*amount).to_owned(),
            });
        }
    }
    if day.purchases.is_empty() {
        return Err(format!("{shown} has no purchases on {date}; it covers 1997-01-01 to 1998-06-30"));
    }
    Ok(day)
}

/// The drop's files by name.
fn files(day: &Day, date: Date, seed: u64, dirty: bool) -> BTreeMap<String, String> {
    let mut sales = String::from(
        "transaccion_id,fecha_transaccion,cliente_id,producto_id,cantidad,total,region,email,tarjeta_numero\n",
    );
    for (number, purchase) in day.purchases.iter().enumerate() {
        let spoilt = (dirty && number % SPOILED_EVERY == 5).then_some(number / SPOILED_EVERY);
        sales.push_str(&sale(purchase, number, date, seed, spoilt));
    }
    let customers: BTreeSet<&str> = day.purchases.iter().map(|purchase| purchase.customer.as_str()).collect();
    let mut clients = String::from("cliente_id,nombre,segmento,pais,fecha_alta\n");
    for customer in customers {
        let (name, surname) = name_of(seed, customer);
        let segment = ["consumidor", "empresa", "educacion"][pick(seed, "segment", customer, 3)];
        let (_, countries) = region_of(seed, customer);
        let country = countries[pick(seed, "country", customer, countries.len())];
        let since = day.first_days.get(customer).copied().unwrap_or(date);
        clients.push_str(&format!("{customer},{name} {surname},{segment},{country},{since}\n"));
    }
    let mut products = String::from("producto_id,producto_nombre,categoria,precio_lista\n");
    for number in 1..=PRODUCTS {
        let id = format!("P{number:03}");
        let category = CATEGORIES[pick(seed, "category", &id, CATEGORIES.len())];
        let price = 999 + 100 * pick(seed, "price", &id, 12);
        products.push_str(&format!(
            "{id},disco {category} {number},{category},{}.{:02}\n",
            price / 100,
            price % 100
        ));
    }
    BTreeMap::from([
        (format!("ventas_{date}.csv"), sales),
        (format!("clientes_{date}.csv"), clients),
        (format!("productos_{date}.csv"), products),
    ])
}

/// One line of ventas. `spoilt` chooses what is wrong with it.
fn sale(purchase: &Purchase, number: usize, date: Date, seed: u64, spoilt: Option<usize>) -> String {
    let compact = date.strftime("%Y%m%d");
    let mut transaction = format!("T{compact}-{number:05}");
    let product = format!("P{:03}", 1 + pick(seed, "product", &transaction, PRODUCTS as usize));
    let (region, _) = region_of(seed, &purchase.customer);
    let (name, surname) = name_of(seed, &purchase.customer);
    let email = format!("{name}.{surname}{}@example.com", purchase.customer);
    let card = format!("400000{:010}", pick(seed, "card", &purchase.customer, 10_000_000_000));
    let mut customer = purchase.customer.as_str();
    let mut total = purchase.amount.clone();
    let mut region = region;
    match spoilt.map(|kind| kind % 6) {
        None => {}
        Some(0) => customer = "",
        Some(1) => region = "MARTE",
        Some(2) => total = format!("-{total}"),
        Some(3) => transaction = format!("T{compact}-{:05}", number - 1),
        Some(4) => total = "N/A".to_owned(),
        Some(_) => return format!("{transaction},{date},{customer}\n"),
    }
    format!(
        "{transaction},{date},{customer},{product},{},{total},{region},{email},{card}\n",
        purchase.quantity
    )
}

fn region_of(seed: u64, customer: &str) -> (&'static str, &'static [&'static str]) {
    REGIONS[pick(seed, "region", customer, REGIONS.len())]
}

fn name_of(seed: u64, customer: &str) -> (&'static str, &'static str) {
    (
        NAMES[pick(seed, "name", customer, NAMES.len())],
        SURNAMES[pick(seed, "surname", customer, SURNAMES.len())],
    )
}

/// A number below `below` that depends on the seed, what it is for, and whose it is, and on nothing else.
fn pick(seed: u64, what: &str, whose: &str, below: usize) -> usize {
    let digest = Sha256::digest(format!("{seed}/{what}/{whose}"));
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    // `below` is a small constant, so both conversions hold.
    (number % below as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> Day {
        let purchases = (0..80)
            .map(|number| Purchase {
                customer: format!("{number:05}"),
                quantity: "1".to_owned(),
                amount: "11.77".to_owned(),
            })
            .collect();
        Day { purchases, first_days: BTreeMap::new() }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
        let date = Date::constant(1997, 1, 5);
        assert_eq!(files(&day(), date, 1, false), files(&day(), date, 1, false));
        assert_ne!(files(&day(), date, 1, false), files(&day(), date, 2, false));
    }

    #[test]
    fn a_dirty_day_spoils_some_rows_and_only_those() {
        let date = Date::constant(1997, 2, 14);
        let clean = files(&day(), date, 1, false).remove("ventas_1997-02-14.csv").unwrap();
        let dirty = files(&day(), date, 1, true).remove("ventas_1997-02-14.csv").unwrap();
        let changed = clean.lines().zip(dirty.lines()).filter(|(clean, dirty)| clean != dirty).count();
        assert_eq!((clean.lines().count(), dirty.lines().count(), changed), (81, 81, 7));
        for sign in [",MARTE,", ",-11.77,", ",N/A,", "-00040,1997-02-14,00041"] {
            assert!(dirty.contains(sign), "{sign}");
        }
    }
}
