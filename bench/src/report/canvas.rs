//! The drawing surface of all pictures: a title, a plot with axes, a key at the right; one look for all.
use super::axis::Axis;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width of every picture. Drawn large, so that whole pixels are fine enough.
pub const WIDTH: i32 = 2000;
/// Distance of the plot from the left, where the vertical axis has its texts.
pub const LEFT: i32 = 170;
/// Where the plot ends and the key begins.
pub const RIGHT: i32 = 1400;
/// Where the key begins: room is left for names at the ends of curves.
pub const KEY: i32 = 1520;
/// Where the plot begins, below the title.
pub const TOP: i32 = 150;
/// Room below the plot for the horizontal axis.
pub const BELOW: i32 = 120;

/// Texts and axes.
pub const INK: RGBColor = RGBColor(27, 31, 36);
/// Texts that matter less.
pub const FAINT: RGBColor = RGBColor(101, 109, 118);
/// Lines behind the data.
pub const GRID: RGBColor = RGBColor(225, 228, 232);
/// What failed or was missed.
pub const BAD: RGBColor = RGBColor(196, 30, 58);
/// The ground.
pub const PAPER: RGBColor = RGBColor(255, 255, 255);

/// Size of most texts.
pub const TEXT: i32 = 30;
const TITLE: i32 = 38;
const FONT: &str = "system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif";
/// What the backend makes of sizes: it divides them by this.
const SIZE_FACTOR: f64 = 1.24;
const LINE: u32 = 5;
const DASH: (f64, f64) = (18.0, 12.0);

/// Why a picture could not be drawn.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A picture being drawn. Coordinates are pixels from the top left.
pub struct Canvas<'a> {
    area: Area<'a>,
    height: i32,
}

/// Which side of a text its point is.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// The text goes to the right from its point.
    Left,
    /// It is centred on it.
    Middle,
    /// It ends there.
    Right,
}

impl<'a> Canvas<'a> {
    /// An empty picture with a title, drawn into `svg`.
    pub fn new(svg: &'a mut String, height: i32, title: &str) -> Result<Self, Error> {
        let size = (WIDTH as u32, u32::try_from(height)?);
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&PAPER)?;
        let canvas = Self { area, height };
        canvas.text_sized(title, (30, 46), TITLE, INK, Anchor::Left)?;
        Ok(canvas)
    }

    /// The lower end of the plot.
    pub fn bottom(&self) -> i32 {
        self.height - BELOW
    }

    /// Done.
    pub fn finish(self) -> Result<(), Error> {
        self.area.present()?;
        Ok(())
    }

    /// A text of the usual size, its middle at the height of the point.
    pub fn text(&self, text: &str, at: (i32, i32), colour: RGBColor, anchor: Anchor) -> Result<(), Error> {
        self.text_sized(text, at, TEXT, colour, anchor)
    }

    fn text_sized(
        &self,
        text: &str,
        at: (i32, i32),
        size: i32,
        colour: RGBColor,
        anchor: Anchor,
    ) -> Result<(), Error> {
        let side = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = TextStyle::from((FONT, f64::from(size) * SIZE_FACTOR).into_font())
            .color(&colour)
            .pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(text, at, style))?;
        Ok(())
    }

    /// A line through points, dashed or not.
    pub fn line(
        &self,
        points: &[(i32, i32)],
        colour: RGBColor,
        width: u32,
        dashed: bool,
    ) -> Result<(), Error> {
        let style = colour.stroke_width(width);
        if !dashed {
            self.area.draw(&PathElement::new(points.to_vec(), style))?;
            return Ok(());
        }
        for dash in dashes(points) {
            self.area.draw(&PathElement::new(dash, style))?;
        }
        Ok(())
    }

    /// A filled rectangle.
    pub fn block(&self, from: (i32, i32), to: (i32, i32), colour: impl Color) -> Result<(), Error> {
        self.area.draw(&Rectangle::new([from, to], colour.filled()))?;
        Ok(())
    }

    /// A dot: full, or open.
    pub fn dot(&self, at: (i32, i32), colour: RGBColor, full: bool) -> Result<(), Error> {
        self.area.draw(&Circle::new(at, 9, if full { colour } else { PAPER }.filled()))?;
        self.area.draw(&Circle::new(at, 9, colour.stroke_width(4)))?;
        Ok(())
    }

    /// A cross: something failed here.
    pub fn cross(&self, (x, y): (i32, i32), colour: RGBColor) -> Result<(), Error> {
        self.line(&[(x - 11, y - 11), (x + 11, y + 11)], colour, LINE, false)?;
        self.line(&[(x - 11, y + 11), (x + 11, y - 11)], colour, LINE, false)
    }

    /// Both axes with their lines, texts and names; gives the plot between them.
    pub fn plot(&self, x: Axis, y: Axis, x_name: &str, y_name: &str) -> Result<Plot<'_, 'a>, Error> {
        let plot = Plot { canvas: self, x, y };
        for (value, text) in &plot.y.ticks {
            let height = plot.at(0.0, *value).1;
            self.line(&[(LEFT, height), (RIGHT, height)], GRID, 2, false)?;
            self.text(text, (LEFT - 16, height), FAINT, Anchor::Right)?;
        }
        for (value, text) in &plot.x.ticks {
            let across = LEFT + scaled(plot.x.place(*value), RIGHT - LEFT);
            self.line(&[(across, TOP), (across, self.bottom())], GRID, 2, false)?;
            self.text(text, (across, self.bottom() + 32), FAINT, Anchor::Middle)?;
        }
        self.line(&[(LEFT, self.bottom()), (RIGHT, self.bottom())], INK, 3, false)?;
        self.text(x_name, ((LEFT + RIGHT) / 2, self.bottom() + 84), INK, Anchor::Middle)?;
        self.text(y_name, (30, TOP - 48), INK, Anchor::Left)?;
        Ok(plot)
    }

    /// A line of the key: a sample, the name, and below it what is known in short. Gives the height of the next.
    pub fn key(&self, y: i32, colour: RGBColor, dashed: bool, name: &str, below: &str) -> Result<i32, Error> {
        let x = KEY;
        self.line(&[(x, y), (x + 44, y)], colour, LINE + 2, dashed)?;
        let (lines, mut y) = (folded(name), y);
        for line in lines {
            self.text(&line, (x + 60, y), INK, Anchor::Left)?;
            y += 38;
        }
        if below.is_empty() {
            return Ok(y + 14);
        }
        self.text(below, (x + 60, y), FAINT, Anchor::Left)?;
        Ok(y + 56)
    }
}

/// A name in lines that fit the key.
fn folded(name: &str) -> Vec<String> {
    const CHARACTERS: usize = 24;
    let mut lines = vec![String::new()];
    for word in name.split(' ') {
        let last = lines.last_mut().expect("there is always one");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > CHARACTERS {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// The area between the axes, where values have places.
pub struct Plot<'c, 'a> {
    canvas: &'c Canvas<'a>,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical one.
    pub y: Axis,
}

impl Plot<'_, '_> {
    /// The pixel of a point.
    pub fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let bottom = self.canvas.bottom();
        (LEFT + scaled(self.x.place(x), RIGHT - LEFT), bottom - scaled(self.y.place(y), bottom - TOP))
    }

    /// A curve through points.
    pub fn curve(&self, points: &[(f64, f64)], colour: RGBColor, dashed: bool) -> Result<(), Error> {
        let points: Vec<(i32, i32)> = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        self.canvas.line(&points, colour, LINE, dashed)
    }
}

/// A share of a length in pixels.
pub fn scaled(share: f64, pixels: i32) -> i32 {
    (share * f64::from(pixels)).round() as i32
}

/// A path cut into dashes.
fn dashes(points: &[(i32, i32)]) -> Vec<Vec<(i32, i32)>> {
    let (mut all, mut now) = (Vec::new(), Vec::new());
    let (mut drawing, mut left) = (true, DASH.0);
    let whole = |(x, y): (f64, f64)| (x.round() as i32, y.round() as i32);
    for pair in points.windows(2) {
        let (mut from, to) =
            ((f64::from(pair[0].0), f64::from(pair[0].1)), (f64::from(pair[1].0), f64::from(pair[1].1)));
        if drawing && now.is_empty() {
            now.push(whole(from));
        }
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left {
                left -= length;
                if drawing {
                    now.push(whole(to));
                }
                break;
            }
            let share = left / length;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            now.push(whole(from));
            if drawing {
                all.push(std::mem::take(&mut now));
            }
            drawing = !drawing;
            left = if drawing { DASH.0 } else { DASH.1 };
        }
    }
    if drawing && now.len() > 1 {
        all.push(now);
    }
    all
}
