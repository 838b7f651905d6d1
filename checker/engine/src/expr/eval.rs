//! The evaluator: a walk over the tree, with a bound on the steps it takes and on what it builds.
use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};
use core::cmp::Ordering;
use event::{Int, Timestamp, Value};

use super::{Binary, Env, Expr, Macro, Unary, Undefined, Val};

/// How many nodes and elements one evaluation may visit.
const STEPS_MAX: u32 = 100_000;
/// How many bytes, elements or bits a value built by an operator may have.
const SIZE_MAX: usize = 1 << 16;

impl Expr {
    /// Its value.
    ///
    /// # Errors
    /// Why there is none: something absent, or a mistake that shows only in the values.
    #[inline]
    pub fn eval<'a>(&'a self, env: &'a dyn Env) -> Result<Val<'a>, Undefined> {
        // Most expressions are the name of an attribute.
        if let Expr::Slot(slot) = self {
            return env.slot(*slot).ok_or_else(|| env.absent(*slot));
        }
        Run { env, steps: STEPS_MAX, locals: Vec::new() }.eval(self)
    }

    /// Its value, where the first locals are given: the key of a computed fact, what a kind counts.
    ///
    /// # Errors
    /// As [`Expr::eval`].
    pub fn eval_with<'a>(&'a self, env: &'a dyn Env, locals: Vec<Val<'a>>) -> Result<Val<'a>, Undefined> {
        Run { env, steps: STEPS_MAX, locals }.eval(self)
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// As [`Expr::eval`]; [`Undefined::Type`] when it yields no bool.
    pub fn test(&self, env: &dyn Env) -> Result<bool, Undefined> {
        as_bool(self.eval(env))
    }
}

struct Run<'a> {
    env: &'a dyn Env,
    steps: u32,
    locals: Vec<Val<'a>>,
}

fn as_bool(value: Result<Val<'_>, Undefined>) -> Result<bool, Undefined> {
    match value? {
        Val::Bool(value) => Ok(value),
        _ => Err(Undefined::Type),
    }
}

impl<'a> Run<'a> {
    fn pay(&mut self, steps: usize) -> Result<(), Undefined> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.checked_sub(steps));
        self.steps = left.ok_or(Undefined::Cost)?;
        Ok(())
    }

    fn eval(&mut self, expr: &'a Expr) -> Result<Val<'a>, Undefined> {
        self.pay(1)?;
        match expr {
            Expr::Const(value) => Ok(Val::from(value)),
            Expr::Duration(nanos) => Ok(Val::Duration(*nanos)),
            Expr::Timestamp(ts) => Ok(Val::Timestamp(*ts)),
            Expr::Slot(slot) => self.env.slot(*slot).ok_or_else(|| self.env.absent(*slot)),
            Expr::Role(role, slot) => {
                self.env.role(*role, *slot).ok_or(Undefined::AbsentInRole { role: *role, slot: *slot })
            }
            Expr::Local(local) => {
                let value = self.locals.get(usize::from(*local)).cloned().ok_or(Undefined::Type)?;
                self.pay(weight(&value) / 16)?;
                Ok(value)
            }
            Expr::Fact { fact, args, as_of } => {
                let key = args.iter().map(|arg| self.eval(arg)).collect::<Result<Vec<_>, _>>()?;
                self.env.fact(*fact, &key, *as_of)
            }
            Expr::Clock { clock, key } => {
                let key = key.iter().map(|part| self.eval(part)).collect::<Result<Vec<_>, _>>()?;
                self.env.clock(*clock, &key).ok_or(Undefined::NoSuchKey)
            }
            Expr::Breaker { breaker, scope } => {
                let scope = scope.iter().map(|part| self.eval(part)).collect::<Result<Vec<_>, _>>()?;
                self.env.breaker(*breaker, &scope).ok_or(Undefined::NoSuchKey)
            }
            Expr::Live(component) => match self.eval(component)? {
                Val::String(component) => self.env.live(&component).ok_or(Undefined::NoSuchKey),
                _ => Err(Undefined::Type),
            },
            Expr::Unary(Unary::Not, operand) => as_bool(self.eval(operand)).map(|value| Val::Bool(!value)),
            Expr::Unary(Unary::Negate, operand) => match self.eval(operand)? {
                Val::Int(int) => Ok(Val::Int(int.neg())),
                Val::Double(double) => Ok(Val::Double(-double)),
                Val::Duration(nanos) => nanos.checked_neg().map(Val::Duration).ok_or(Undefined::Overflow),
                _ => Err(Undefined::Type),
            },
            Expr::Binary(Binary::And, a, b) => self.either(a, b, false),
            Expr::Binary(Binary::Or, a, b) => self.either(a, b, true),
            Expr::Binary(operator, a, b) => {
                let a = self.eval(a)?;
                let b = self.eval(b)?;
                self.binary(*operator, a, b)
            }
            Expr::Conditional(condition, then, otherwise) => {
                let holds = as_bool(self.eval(condition))?;
                self.eval(if holds { then } else { otherwise })
            }
            Expr::Call(function, args) => match args.as_slice() {
                [one] => {
                    let value = self.eval(one)?;
                    self.pay(weight(&value) / 64)?;
                    function.call(core::slice::from_ref(&value))
                }
                args => {
                    let args = args.iter().map(|arg| self.eval(arg)).collect::<Result<Vec<_>, _>>()?;
                    self.pay(args.iter().map(weight).sum::<usize>() / 64)?;
                    function.call(&args)
                }
            },
            Expr::Index(of, index) => {
                let of = self.eval(of)?;
                let index = self.eval(index)?;
                self.index(of, &index)
            }
            Expr::Field(of, name) => {
                let of = self.eval(of)?;
                self.field(of, name)
            }
            Expr::Has(operand) => match self.eval(operand) {
                Ok(_) => Ok(Val::Bool(true)),
                Err(why) if why.is_absence() => Ok(Val::Bool(false)),
                Err(why) => Err(why),
            },
            Expr::List(items) => {
                let items = items.iter().map(|item| Ok(self.eval(item)?.to_value()));
                Ok(Val::List(Cow::Owned(items.collect::<Result<_, _>>()?)))
            }
            Expr::Map(entries) => {
                let mut map: Vec<(Box<str>, Value)> = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let Val::String(key) = self.eval(key)? else { return Err(Undefined::Type) };
                    let value = self.eval(value)?.to_value();
                    map.push((key.as_ref().into(), value));
                }
                Ok(Val::Map(Cow::Owned(map)))
            }
            Expr::Macro(which, over, body) => {
                let over = self.eval(over)?;
                self.run_macro(*which, over, body)
            }
        }
    }

    /// `&&` (`decides`: false) and `||` (true): an operand that decides wins over an error in the other.
    fn either(&mut self, a: &'a Expr, b: &'a Expr, decides: bool) -> Result<Val<'a>, Undefined> {
        let first = as_bool(self.eval(a));
        if first == Ok(decides) {
            return Ok(Val::Bool(decides));
        }
        let second = as_bool(self.eval(b));
        if second == Ok(decides) {
            return Ok(Val::Bool(decides));
        }
        match (first, second) {
            // What was forgotten might have decided.
            (Err(_), Err(Undefined::Forgotten)) => Err(Undefined::Forgotten),
            (first, second) => first.and(second).map(Val::Bool),
        }
    }

    fn binary(&mut self, operator: Binary, a: Val<'a>, b: Val<'a>) -> Result<Val<'a>, Undefined> {
        let order = |wanted: fn(Ordering) -> bool| match a.compare(&b) {
            Some(order) => Ok(Val::Bool(wanted(order))),
            None if a.both_numbers(&b) => Ok(Val::Bool(false)),
            None => Err(Undefined::Type),
        };
        match operator {
            Binary::Equal | Binary::NotEqual => {
                if matches!(a, Val::List(_) | Val::Map(_)) {
                    self.pay(weight(&a))?;
                }
                Ok(Val::Bool(a.equals(&b) == (operator == Binary::Equal)))
            }
            Binary::Less => order(Ordering::is_lt),
            Binary::LessEqual => order(Ordering::is_le),
            Binary::Greater => order(Ordering::is_gt),
            Binary::GreaterEqual => order(Ordering::is_ge),
            Binary::In => match &b {
                Val::List(items) => {
                    self.pay(items.len())?;
                    Ok(Val::Bool(items.iter().any(|item| a.equals(&Val::from(item)))))
                }
                Val::Map(entries) => match &a {
                    Val::String(name) => {
                        self.pay(entries.len())?;
                        Ok(Val::Bool(entries.iter().any(|(key, _)| **key == **name)))
                    }
                    _ => Ok(Val::Bool(false)),
                },
                _ => Err(Undefined::Type),
            },
            Binary::Add => add(a, b),
            Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => arithmetic(operator, a, b),
            Binary::And | Binary::Or => Err(Undefined::Type),
        }
    }

    fn index(&mut self, of: Val<'a>, index: &Val<'_>) -> Result<Val<'a>, Undefined> {
        match (of, index) {
            (Val::List(items), Val::Int(at)) => {
                let at = at.to_i64().and_then(|at| usize::try_from(at).ok()).ok_or(Undefined::NoSuchKey)?;
                match items {
                    Cow::Borrowed(items) => items.get(at).map(Val::from),
                    Cow::Owned(mut items) => (at < items.len()).then(|| Val::from(items.swap_remove(at))),
                }
                .ok_or(Undefined::NoSuchKey)
            }
            (map @ Val::Map(_), Val::String(name)) => self.field(map, name),
            _ => Err(Undefined::Type),
        }
    }

    fn field(&mut self, of: Val<'a>, name: &str) -> Result<Val<'a>, Undefined> {
        let Val::Map(entries) = of else { return Err(Undefined::Type) };
        self.pay(entries.len() / 8)?;
        match entries {
            Cow::Borrowed(entries) => {
                entries.iter().rev().find(|(key, _)| **key == *name).map(|(_, value)| Val::from(value))
            }
            Cow::Owned(entries) => {
                entries.into_iter().rev().find(|(key, _)| **key == *name).map(|(_, value)| Val::from(value))
            }
        }
        .ok_or(Undefined::NoSuchKey)
    }

    fn run_macro(&mut self, which: Macro, over: Val<'a>, body: &'a Expr) -> Result<Val<'a>, Undefined> {
        let items: Vec<Val<'a>> = match over {
            Val::List(Cow::Borrowed(items)) => items.iter().map(Val::from).collect(),
            Val::List(Cow::Owned(items)) => items.into_iter().map(Val::from).collect(),
            Val::Map(Cow::Borrowed(map)) => map.iter().map(|(key, _)| Val::String(Cow::Borrowed(key))).collect(),
            Val::Map(Cow::Owned(map)) => {
                map.into_iter().map(|(key, _)| Val::String(Cow::Owned(String::from(key)))).collect()
            }
            _ => return Err(Undefined::Type),
        };
        self.pay(items.len())?;
        let mut error = None;
        let mut matches = 0_u32;
        let mut built = Vec::new();
        for item in items {
            let kept = (which == Macro::Filter).then(|| item.to_value());
            self.locals.push(item);
            let result = self.eval(body);
            self.locals.pop();
            if result.as_ref().err() == Some(&Undefined::Cost) {
                return Err(Undefined::Cost);
            }
            if which == Macro::Map {
                built.push(result?.to_value());
                continue;
            }
            match (which, as_bool(result)) {
                (Macro::All, Ok(false)) => return Ok(Val::Bool(false)),
                (Macro::Exists, Ok(true)) => return Ok(Val::Bool(true)),
                (Macro::All | Macro::Exists, Err(why)) => error = error.or(Some(why)),
                (_, Err(why)) => return Err(why),
                (Macro::ExistsOne, Ok(true)) => matches += 1,
                (_, Ok(true)) => built.extend(kept),
                (_, Ok(false)) => {}
            }
        }
        match which {
            Macro::All | Macro::Exists => error.map_or(Ok(Val::Bool(which == Macro::All)), Err),
            Macro::ExistsOne => Ok(Val::Bool(matches == 1)),
            Macro::Filter | Macro::Map => Ok(Val::List(Cow::Owned(built))),
        }
    }
}

/// How large a value is, for what it costs to walk over.
fn weight(value: &Val<'_>) -> usize {
    match value {
        Val::String(text) => text.len(),
        Val::Bytes(bytes) => bytes.len(),
        Val::List(items) => items.len(),
        Val::Map(entries) => entries.len(),
        _ => 0,
    }
}

fn bits(int: &Int) -> usize {
    match int {
        Int::Small(_) => 128,
        Int::Big(big) => usize::try_from(big.bits()).unwrap_or(usize::MAX),
    }
}

fn instant(nanos: Option<i128>) -> Result<Val<'static>, Undefined> {
    let nanos = nanos.and_then(|nanos| u64::try_from(nanos).ok());
    nanos.map(|nanos| Val::Timestamp(Timestamp(nanos))).ok_or(Undefined::Overflow)
}

fn add<'a>(a: Val<'a>, b: Val<'a>) -> Result<Val<'a>, Undefined> {
    if weight(&a) + weight(&b) > SIZE_MAX {
        return Err(Undefined::Cost);
    }
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => Ok(Val::Int(a.add(&b))),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        (Val::Int(a), Val::Double(b)) | (Val::Double(b), Val::Int(a)) => Ok(Val::Double(a.to_f64() + b)),
        (Val::String(a), Val::String(b)) => Ok(Val::String(Cow::Owned(a.into_owned() + &b))),
        (Val::Bytes(a), Val::Bytes(b)) => {
            let mut bytes = a.into_owned();
            bytes.extend_from_slice(&b);
            Ok(Val::Bytes(Cow::Owned(bytes)))
        }
        (Val::List(a), Val::List(b)) => {
            let mut items = a.into_owned();
            items.extend_from_slice(&b);
            Ok(Val::List(Cow::Owned(items)))
        }
        (Val::Duration(a), Val::Duration(b)) => a.checked_add(b).map(Val::Duration).ok_or(Undefined::Overflow),
        (Val::Timestamp(ts), Val::Duration(nanos)) | (Val::Duration(nanos), Val::Timestamp(ts)) => {
            instant(i128::from(ts.0).checked_add(nanos))
        }
        _ => Err(Undefined::Type),
    }
}

fn arithmetic<'a>(operator: Binary, a: Val<'a>, b: Val<'a>) -> Result<Val<'a>, Undefined> {
    match (operator, a, b) {
        (Binary::Multiply, Val::Int(a), Val::Int(b)) if bits(&a).saturating_add(bits(&b)) > SIZE_MAX => {
            Err(Undefined::Overflow)
        }
        (operator, Val::Int(a), Val::Int(b)) => match operator {
            Binary::Subtract => Some(a.sub(&b)),
            Binary::Multiply => Some(a.mul(&b)),
            Binary::Divide => a.div(&b),
            _ => a.rem(&b),
        }
        .map(Val::Int)
        .ok_or(Undefined::DivisionByZero),
        (operator, Val::Int(a), Val::Double(b)) => doubles(operator, a.to_f64(), b),
        (operator, Val::Double(a), Val::Int(b)) => doubles(operator, a, b.to_f64()),
        (operator, Val::Double(a), Val::Double(b)) => doubles(operator, a, b),
        (Binary::Subtract, Val::Timestamp(a), Val::Timestamp(b)) => {
            Ok(Val::Duration(i128::from(a.0) - i128::from(b.0)))
        }
        (Binary::Subtract, Val::Timestamp(ts), Val::Duration(nanos)) => instant(i128::from(ts.0).checked_sub(nanos)),
        (Binary::Subtract, Val::Duration(a), Val::Duration(b)) => {
            a.checked_sub(b).map(Val::Duration).ok_or(Undefined::Overflow)
        }
        (Binary::Multiply, Val::Duration(nanos), Val::Int(by))
        | (Binary::Multiply, Val::Int(by), Val::Duration(nanos)) => match by {
            Int::Small(by) => nanos.checked_mul(by).map(Val::Duration).ok_or(Undefined::Overflow),
            Int::Big(_) => Err(Undefined::Overflow),
        },
        (Binary::Divide, Val::Duration(nanos), Val::Int(Int::Small(by))) => {
            if by == 0 {
                return Err(Undefined::DivisionByZero);
            }
            nanos.checked_div(by).map(Val::Duration).ok_or(Undefined::Overflow)
        }
        _ => Err(Undefined::Type),
    }
}

fn doubles<'a>(operator: Binary, a: f64, b: f64) -> Result<Val<'a>, Undefined> {
    Ok(Val::Double(match operator {
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        _ => return Err(Undefined::Type),
    }))
}
