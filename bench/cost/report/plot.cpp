#include "bench/cost/report/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "bench/cost/report/words.hpp"

namespace forkscope::cost {
namespace {

constexpr double kWidth = 860, kHeight = 400;
constexpr double kLeft = 74, kRight = 640, kTop = 14, kBottom = 346;
constexpr std::size_t kColours = 10;

std::string number(double value) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string value_text(double value, Unit unit) {
  switch (unit) {
    case Unit::kTime:
      return value == 0 ? "0" : time_text(value);
    case Unit::kBytes:
      return value == 0 ? "0" : bytes_text(value);
    case Unit::kPercent:
      return number_text(value) + " %";
    case Unit::kMilliseconds:
      return value == 0 ? "0" : time_text(value * 1e6);
    case Unit::kShare:
    case Unit::kCount:
      return number_text(value);
  }
  return "";
}

/// Numbers of ticks have no digits that say nothing: "10 ms", not "10.0 ms".
std::string tick_text(double value, Unit unit) {
  std::string text = value_text(value, unit);
  const auto point = text.find('.');
  if (point == std::string::npos) return text;
  auto end = text.find_first_not_of("0123456789", point + 1);
  if (end == std::string::npos) end = text.size();
  auto last = end;
  while (text[last - 1] == '0') --last;
  if (text[last - 1] == '.') --last;
  return text.erase(last, end - last);
}

class Scale {
 public:
  Scale(const Axis& axis, const std::vector<double>& values, double begin, double end)
      : axis_(axis), begin_(begin), end_(end) {
    double low = INFINITY, high = -INFINITY;
    for (const double value : values) {
      if (axis.logarithmic && value <= 0) {
        zero_ = true;
        continue;
      }
      low = std::min(low, value);
      high = std::max(high, value);
    }
    if (low > high) low = high = 1;
    if (!axis.logarithmic) {
      low_ = 0;
      high_ = std::max(high, 1e-9);
      return;
    }
    low_ = std::log10(low);
    high_ = std::log10(high);
    if (high_ - low_ < 0.5) {
      const double middle = (low_ + high_) / 2;
      low_ = middle - 0.25;
      high_ = middle + 0.25;
    }
    if (zero_) low_ -= (high_ - low_) * 0.12;
  }

  double at(double value) const {
    double share;
    if (!axis_.logarithmic)
      share = (value - low_) / (high_ - low_);
    else
      share = value <= 0 ? 0 : (std::log10(value) - low_) / (high_ - low_);
    return begin_ + (end_ - begin_) * std::clamp(share, 0.0, 1.0);
  }

  std::vector<double> ticks() const {
    std::vector<double> out;
    if (!axis_.logarithmic) {
      const double rough = (high_ - low_) / 5, power = std::pow(10, std::floor(std::log10(rough)));
      const double step = power * (rough / power < 1.5 ? 1 : rough / power < 3.5 ? 2 : 5);
      for (double value = low_; value <= high_ * 1.0001; value += step) out.push_back(value);
      return out;
    }
    const double least = std::pow(10, low_ + (zero_ ? (high_ - low_) * 0.1 : 0)) * 0.999,
                 most = std::pow(10, high_) * 1.001;
    if (zero_) out.push_back(0);
    if (axis_.unit == Unit::kBytes) {
      double step = 4;
      while (std::log(most / least) / std::log(step) > 8) step *= 4;
      for (double value = 1024; value <= most; value *= step)
        if (value >= least) out.push_back(value);
      return out;
    }
    const double decades = std::log10(most / least);
    for (double power = std::pow(10, std::floor(std::log10(least))); power <= most; power *= 10)
      for (const double digit : {1.0, 2.0, 5.0})
        if (power * digit >= least && power * digit <= most && (digit == 1 || decades < 2.2))
          out.push_back(power * digit);
    return out;
  }

 private:
  Axis axis_;
  double begin_, end_, low_ = 0, high_ = 1;
  bool zero_ = false;
};

/// The same colour for the same method in all plots of a page; others get what is left.
std::vector<std::size_t> colours_of(const Plot& plot) {
  static const std::array<const char*, 7> kKnown{
      "fork", "fork-exec", "posix_spawn", "vfork-exec", "forkserver", "zygote", "thread"};
  std::vector<std::size_t> out(plot.series.size(), kColours);
  std::vector<bool> taken(kColours, false);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto known = std::find(kKnown.begin(), kKnown.end(), plot.series[i].name);
    if (known == kKnown.end()) continue;
    out[i] = std::size_t(known - kKnown.begin());
    taken[out[i]] = true;
  }
  std::size_t next = 0;
  for (std::size_t& colour : out) {
    if (colour != kColours) continue;
    while (next < kColours && taken[next]) ++next;
    colour = next++ % kColours;
  }
  return out;
}

std::string classes(std::size_t colour) {
  return "s c" + std::to_string(colour % kColours) + " d" + std::to_string(colour / 5 % 3);
}

std::string marker(std::size_t which, double x, double y) {
  const auto point = [&](double dx, double dy) {
    return number(x + dx) + "," + number(y + dy) + " ";
  };
  switch (which % 5) {
    case 0:
      return "<circle cx=\"" + number(x) + "\" cy=\"" + number(y) + "\" r=\"3.6\"/>";
    case 1:
      return "<rect x=\"" + number(x - 3.3) + "\" y=\"" + number(y - 3.3) +
             "\" width=\"6.6\" height=\"6.6\"/>";
    case 2:
      return "<polygon points=\"" + point(0, -4.4) + point(4.2, 3.2) + point(-4.2, 3.2) + "\"/>";
    case 3:
      return "<polygon points=\"" + point(0, -4.8) + point(4.8, 0) + point(0, 4.8) +
             point(-4.8, 0) + "\"/>";
    default:
      return "<polygon points=\"" + point(0, 4.4) + point(4.2, -3.2) + point(-4.2, -3.2) + "\"/>";
  }
}

std::string axes(const Plot& plot, const Scale& x, const Scale& y) {
  std::string out;
  double last = -INFINITY;
  for (const double tick : x.ticks()) {
    const std::string at = number(x.at(tick));
    out += "<line class=\"grid\" x1=\"" + at + "\" x2=\"" + at + "\" y1=\"" + number(kTop) +
           "\" y2=\"" + number(kBottom) + "\"/>";
    if (x.at(tick) - last < 44) continue;
    last = x.at(tick);
    out += "<text x=\"" + at + "\" y=\"" + number(kBottom + 17) + "\" text-anchor=\"middle\">" +
           escaped(tick_text(tick, plot.x.unit)) + "</text>";
  }
  for (const double tick : y.ticks()) {
    const std::string at = number(y.at(tick));
    out += "<line class=\"grid\" x1=\"" + number(kLeft) + "\" x2=\"" + number(kRight) + "\" y1=\"" +
           at + "\" y2=\"" + at + "\"/><text x=\"" + number(kLeft - 7) + "\" y=\"" +
           number(y.at(tick) + 4) + "\" text-anchor=\"end\">" +
           escaped(tick_text(tick, plot.y.unit)) + "</text>";
  }
  out += "<rect class=\"frame\" x=\"" + number(kLeft) + "\" y=\"" + number(kTop) + "\" width=\"" +
         number(kRight - kLeft) + "\" height=\"" + number(kBottom - kTop) + "\"/>";
  out += "<text class=\"label\" x=\"" + number((kLeft + kRight) / 2) + "\" y=\"" +
         number(kHeight - 12) + "\" text-anchor=\"middle\">" + escaped(plot.x.label) + "</text>";
  const std::string middle = number((kTop + kBottom) / 2);
  out += "<text class=\"label\" transform=\"translate(14 " + middle +
         ") rotate(-90)\" text-anchor=\"middle\">" + escaped(plot.y.label) + "</text>";
  return out;
}

std::string line_of(const Plot& plot, const Series& series, std::size_t colour, const Scale& x,
                    const Scale& y) {
  std::string points, rest;
  double before = y.at(0);
  for (const Mark& mark : series.marks) {
    const double px = x.at(mark.x), py = y.at(mark.y);
    if (plot.steps) points += number(px) + "," + number(before) + " ";
    points += number(px) + "," + number(py) + " ";
    before = py;
    if (plot.steps) continue;
    if (mark.high > mark.low)
      rest += "<line class=\"bar\" x1=\"" + number(px) + "\" x2=\"" + number(px) + "\" y1=\"" +
              number(y.at(mark.low)) + "\" y2=\"" + number(y.at(mark.high)) + "\"/>";
    rest += "<g>" + marker(colour, px, py) + "<title>" + escaped(mark.name) + ": " +
            escaped(value_text(mark.y, plot.y.unit) + " (" + value_text(mark.low, plot.y.unit) +
                    " to " + value_text(mark.high, plot.y.unit) + ")") +
            "</title></g>";
  }
  return "<g class=\"" + classes(colour) + "\"><polyline points=\"" + points + "\"/>" + rest +
         "</g>";
}

/// Names beside the ends of the lines, moved apart where they would overlap.
std::string names_of(const Plot& plot, const std::vector<std::size_t>& colours, const Scale& x,
                     const Scale& y) {
  struct Label {
    std::size_t series;
    double x, end, y;
  };
  std::vector<Label> labels;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    const Mark& last = plot.series[i].marks.back();
    // Distributions all end at the top: their names are a list there.
    labels.push_back({i, x.at(last.x), plot.steps ? kTop : y.at(last.y), 0});
  }
  if (!plot.steps)
    std::stable_sort(labels.begin(), labels.end(),
                     [](const Label& a, const Label& b) { return a.end < b.end; });
  constexpr double kStep = 16;
  double least = kTop + 6;
  for (Label& label : labels) {
    label.y = std::max(label.end, least);
    least = label.y + kStep;
  }
  double most = kBottom;
  for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
    label->y = std::min(label->y, most);
    most = label->y - kStep;
  }
  std::string out;
  for (const Label& label : labels) {
    const std::size_t colour = colours[label.series];
    out += "<g class=\"" + classes(colour) + "\">";
    if (plot.steps)
      out += "<polyline points=\"" + number(kRight + 10) + "," + number(label.y) + " " +
             number(kRight + 26) + "," + number(label.y) + "\"/>";
    else
      out += "<polyline class=\"lead\" points=\"" + number(label.x + 5) + "," + number(label.end) +
             " " + number(kRight + 8) + "," + number(label.y) + "\"/>" +
             marker(colour, kRight + 16, label.y);
    out += "</g><text x=\"" + number(kRight + (plot.steps ? 32 : 26)) + "\" y=\"" +
           number(label.y + 4) + "\">" + escaped(plot.series[label.series].name) + "</text>";
  }
  return out;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string draw(const Plot& plot) {
  std::vector<double> xs, ys;
  for (const Series& series : plot.series)
    for (const Mark& mark : series.marks) {
      xs.push_back(mark.x);
      for (const double value :
           {mark.y, plot.steps ? mark.y : mark.low, plot.steps ? mark.y : mark.high})
        ys.push_back(value);
    }
  if (xs.empty()) return "";
  const Scale x(plot.x, xs, kLeft + 8, kRight - 8), y(plot.y, ys, kBottom - 8, kTop + 8);
  std::string out = "<figure id=\"" + plot.id + "\"><h3>" + escaped(plot.title) +
                    "</h3><div class=\"scroll\"><svg viewBox=\"0 0 " + number(kWidth) + " " +
                    number(kHeight) + "\" role=\"img\" aria-label=\"" + escaped(plot.title) +
                    "\">\n" + axes(plot, x, y) + "\n";
  const auto colours = colours_of(plot);
  for (std::size_t i = 0; i < plot.series.size(); ++i)
    out += line_of(plot, plot.series[i], colours[i], x, y) + "\n";
  out += names_of(plot, colours, x, y) + "\n</svg></div>";
  out += "<figcaption>" + escaped(plot.note);
  if (!plot.command.empty()) out += " <code>" + escaped(plot.command) + "</code>";
  return out + "</figcaption></figure>\n";
}

std::string plot_style() {
  // Okabe and Ito's palette, which the colour-blind can tell apart, darker or lighter by ground.
  return R"(:root{--c0:#0060a8;--c1:#c04a00;--c2:#007a55;--c3:#a8327d;--c4:#8a6a00;--c5:#2f7fb5;--c6:#5a5a5a;--c7:#7b3fb0;--c8:#b02a37;--c9:#3d7a1c}
@media (prefers-color-scheme:dark){:root{--c0:#6cb6f5;--c1:#ff9a5a;--c2:#3fd0a0;--c3:#ee8fc9;--c4:#e6c84a;--c5:#9bd3f7;--c6:#b8b8b8;--c7:#c4a0f0;--c8:#ff8088;--c9:#9ed36a}}
@media print{:root{--c0:#0060a8;--c1:#c04a00;--c2:#007a55;--c3:#a8327d;--c4:#8a6a00;--c5:#2f7fb5;--c6:#5a5a5a;--c7:#7b3fb0;--c8:#b02a37;--c9:#3d7a1c}}
svg{width:100%;min-width:600px;height:auto;font:12px system-ui,sans-serif;display:block}
svg text{fill:var(--text)}svg .label{font-weight:600}
.grid{stroke:var(--line);stroke-width:1}.frame{fill:none;stroke:var(--faint);stroke-width:1}
.s polyline{fill:none;stroke-width:2;stroke-linejoin:round}.s .bar{stroke-width:1.2}
.s .lead{stroke-width:.8;stroke-dasharray:1 3}
.d1 polyline{stroke-dasharray:7 4}.d2 polyline{stroke-dasharray:2 4}.d1 .lead,.d2 .lead{stroke-dasharray:1 3}
.c0{stroke:var(--c0);fill:var(--c0)}.c1{stroke:var(--c1);fill:var(--c1)}.c2{stroke:var(--c2);fill:var(--c2)}
.c3{stroke:var(--c3);fill:var(--c3)}.c4{stroke:var(--c4);fill:var(--c4)}.c5{stroke:var(--c5);fill:var(--c5)}
.c6{stroke:var(--c6);fill:var(--c6)}.c7{stroke:var(--c7);fill:var(--c7)}.c8{stroke:var(--c8);fill:var(--c8)}
.c9{stroke:var(--c9);fill:var(--c9)}
)";
}

}  // namespace forkscope::cost
