// What a dashboard of infra/monitoring consists of, by the schema of the Grafana that compose.yaml starts. There a panel may have any
// options; here they are those of the kinds of panels that the dashboards have. A kind that is not here is refused.

import type { DataQuery } from "@grafana/schema";
import type * as schema from "@grafana/schema/dist/types/raw/dashboard/x/dashboard_types.gen";
import type * as stat from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as timeseries from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

/** As a file has it: words for the members of enumerations. What is left out has Grafana's default. */
type Written<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Written<Item>[]
    : T extends object
      ? { [Key in keyof T]?: Written<T[Key]> }
      : T;

/** Those of Prometheus are in a package that needs most of Grafana: here are the keys that the dashboards use. */
interface Query extends DataQuery {
  expr: string;
  legendFormat: string;
}

interface Panel<Type, Options, Custom> extends Omit<schema.Panel, "type" | "options" | "fieldConfig" | "targets"> {
  type: Type;
  options: Options;
  fieldConfig: {
    defaults: Omit<schema.FieldConfig, "custom"> & { custom: Custom };
    overrides: schema.FieldConfigSource["overrides"];
  };
  targets: Query[];
}

interface Row extends Omit<schema.RowPanel, "type"> {
  type: "row";
}

type AnyPanel =
  | Row
  | Panel<"stat", stat.Options, undefined>
  | Panel<"timeseries", timeseries.Options, timeseries.FieldConfig>;

export type Dashboard = Written<Omit<schema.Dashboard, "panels"> & { panels: AnyPanel[] }>;
