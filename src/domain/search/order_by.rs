//! The items of an order.

use super::error::{Fault, check_text, shown};
use super::lexer::lex;
use super::names::{Use, attribute, key};
use super::{Entity, Key, MAX_ORDER_BY_BYTES, MAX_ORDER_BY_ITEMS, OrderBy, SearchError};

/// Parses the items of an order as MLflow does: a name, then ASC (the default) or DESC.
///
/// Errors name the field `order_by` or the item, such as `order_by[1]`, what was found, and what would be
/// right; also when two items order by the same thing, and when a limit is exceeded:
/// `MAX_ORDER_BY_ITEMS`, `MAX_ORDER_BY_BYTES`.
pub fn parse_order_by(entity: Entity, items: &[String]) -> Result<Vec<OrderBy>, SearchError> {
    if items.len() > MAX_ORDER_BY_ITEMS {
        let message = format!("has {} items; at most {MAX_ORDER_BY_ITEMS} are allowed", items.len());
        return Err(Fault::new(message).within("order_by", ""));
    }
    let mut orders: Vec<OrderBy> = Vec::with_capacity(items.len());
    for (index, text) in items.iter().enumerate() {
        let error = |fault: Fault| fault.within(format!("order_by[{index}]"), text);
        let order = item(entity, text).map_err(error)?;
        if let Some(first) = orders.iter().position(|earlier| earlier.key == order.key) {
            let key = shown(&order.key.to_string());
            return Err(error(Fault::new(format!("orders by {key} again, as order_by[{first}] does"))));
        }
        orders.push(order);
    }
    Ok(orders)
}

/// Reads what logged models are ordered by, as MLflow does: an attribute, or all that follows `metrics.` as the
/// key of a metric, which may stand in backticks. Errors name `field`.
pub fn parse_logged_model_key(field: &str, text: &str) -> Result<Key, SearchError> {
    let read = || {
        check_text(text, MAX_ORDER_BY_BYTES)?;
        match text.split_once('.') {
            None => attribute(Entity::LoggedModels, Use::Order, text),
            Some(("metrics", key)) if !key.is_empty() => {
                let bare = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'));
                Ok(Key::Metric(bare.unwrap_or(key).to_owned()))
            }
            Some(_) => Err(Fault::new(format!("expected an attribute or a metric such as metrics.rmse, found {}", shown(text)))),
        }
    };
    read().map_err(|fault: Fault| fault.within(field, text))
}

fn item(entity: Entity, text: &str) -> Result<OrderBy, Fault> {
    check_text(text, MAX_ORDER_BY_BYTES)?;
    let lexemes = lex(text)?;
    let Some((name, rest)) = lexemes.split_first() else {
        return Err(Fault::new("is empty; expected a name, then ASC or DESC"));
    };
    let key = key(entity, Use::Order, name.token).map_err(|fault| fault.at(name.start))?;
    let descending = match rest {
        [] => false,
        [only] if only.token.is_keyword("ASC") => false,
        [only] if only.token.is_keyword("DESC") => true,
        [first, ..] => {
            let found = shown(text.get(first.start..).unwrap_or_default());
            return Err(Fault::new(format!("expected ASC, DESC or the end, found {found}")).at(first.start));
        }
    };
    Ok(OrderBy { key, descending })
}
