/** Text of a report, by what it is; every renderer escapes it in its own way. */
export type Inline =
  | string
  | { readonly code: string }
  | { readonly strong: string }
  /** A file of the evidence, by its name in the folder. */
  | { readonly file: string }
  | { readonly status: 'passed' | 'failed' | 'skipped'; readonly text: string };

/** A part of a bar: seconds, under a name of the legend. */
export interface BarPart {
  readonly name: string;
  readonly seconds: number;
}

/** Bars of seconds, one below the other, each made of parts. */
export interface BarChart {
  readonly kind: 'bars';
  readonly label: string;
  readonly bars: readonly { readonly label: string; readonly parts: readonly BarPart[] }[];
  readonly limit: ChartLimit | null;
}

/** Seconds over time, as columns, the newest at the right. */
export interface TrendChart {
  readonly kind: 'trend';
  readonly label: string;
  readonly points: readonly { readonly label: string; readonly seconds: number; readonly failed: boolean }[];
  readonly limit: ChartLimit | null;
}

/** A range with what was measured. */
export interface RangeChart {
  readonly kind: 'ranges';
  readonly label: string;
  readonly rows: readonly {
    readonly label: string;
    readonly p50: number;
    readonly p90: number;
    readonly measured: number;
  }[];
  readonly legend: { readonly range: string; readonly measured: string };
}

/** A line across a chart, with its text, also where it is beyond it. */
export interface ChartLimit {
  readonly seconds: number;
  readonly text: string;
  readonly beyond: string;
}

export type Chart = BarChart | TrendChart | RangeChart;

export type Block =
  | { readonly kind: 'text'; readonly text: readonly Inline[] }
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'command'; readonly text: string }
  | {
      readonly kind: 'table';
      readonly head: readonly string[];
      readonly rows: readonly (readonly (readonly Inline[])[])[];
    }
  | { readonly kind: 'chart'; readonly chart: Chart }
  /** Lines to write on, on paper. */
  | { readonly kind: 'fields'; readonly names: readonly string[] };

export interface Section {
  readonly title: string;
  /** Shown so that nobody reads past it. */
  readonly prominent?: true;
  readonly blocks: readonly Block[];
}

/** A report, whatever it is written in. */
export interface ReportDocument {
  readonly language: string;
  readonly title: string;
  readonly verdict: { readonly kind: 'pass' | 'fail' | 'incomplete'; readonly text: string };
  readonly summary: string;
  readonly facts: readonly (readonly [name: string, value: readonly Inline[]])[];
  readonly sections: readonly Section[];
}
