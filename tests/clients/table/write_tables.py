#!/usr/bin/env python3
"""Writes tables with pyarrow, pandas, DuckDB and fastparquet, each beside the text that table_tool must print for it.

    write_tables.py DIR    NAME.EXT and NAME.EXT.expected; NAME.EXT.error holds a word of the expected message
    write_tables.py --fixtures tests/golden/table    the small ones that unit tests and fuzzing start from

The expected text comes from the values that were handed to the writer, never from reading the file.
"""
import datetime
import decimal
import itertools
import sys

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

decimal.getcontext().prec = 60  # scaleb rounds to it
D = decimal.Decimal
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
CODECS = ["none", "snappy", "gzip", "zstd", "lz4"]


def kind(t):
    if pa.types.is_dictionary(t):
        return kind(t.value_type)
    if pa.types.is_uint64(t) or pa.types.is_decimal(t):
        return "decimal"
    if pa.types.is_boolean(t):
        return "bool"
    if pa.types.is_integer(t) or pa.types.is_time(t):
        return "int64"
    if pa.types.is_floating(t):
        return "float64"
    if pa.types.is_date(t):
        return "date"
    return "timestamp" if pa.types.is_timestamp(t) else "string"


def quoted(raw):
    raw = raw.encode() if isinstance(raw, str) else raw
    return '"' + "".join(chr(b) if 0x20 <= b < 0x7f and b not in b'"\\' else f"\\x{b:02x}" for b in raw) + '"'


def floating(v):
    return "nan" if v != v else "%.17g" % v


def micros(v, t):
    """v counts units of t."""
    return {"s": v * 1000000, "ms": v * 1000, "us": v, "ns": v // 1000}[t.unit]


def cells(column, zoned=None):
    t = column.type
    if pa.types.is_dictionary(t):
        column, t = column.cast(t.value_type), t.value_type
    name = kind(t)
    if name == "timestamp":
        mark = "us" + ("Z" if (t.tz is not None if zoned is None else zoned) else "")
        return ["-" if v is None else f"{micros(v, t)}{mark}" for v in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_time(t):
        column = column.cast(pa.int32() if t.bit_width == 32 else pa.int64())
    if name == "date":
        column = column.cast(pa.date32()).cast(pa.int32())
    show = {"bool": lambda v: "true" if v else "false", "int64": str, "float64": floating,
            "date": lambda v: f"{v}d", "string": quoted,
            "decimal": lambda v: (f"{v}e-0" if pa.types.is_uint64(t) else f"{int(v.scaleb(t.scale))}e-{t.scale}")}
    return ["-" if v is None else show[name](v) for v in column.to_pylist()]


def expect(path, table, zoned=None, names=None):
    names = names or table.column_names
    columns = [cells(table[n].combine_chunks(), zoned) for n in names]
    with open(f"{path}.expected", "w", encoding="utf-8") as f:
        f.write("|".join(f"{n}:{kind(table.schema.field(n).type)}" for n in names) + "\n")
        f.writelines("|".join(row) + "\n" for row in zip(*columns))


def sample(n, nulls, seed=1):
    """Every type; `nulls` none, some or all. Values at the ends of their ranges come first."""
    r = np.random.default_rng(seed)
    types = {
        "i8": (pa.int8(), lambda: [-128, 127]), "i16": (pa.int16(), lambda: [-32768, 32767]),
        "i32": (pa.int32(), lambda: [-2**31, 2**31 - 1]), "i64": (pa.int64(), lambda: [-2**63, 2**63 - 1]),
        "u8": (pa.uint8(), lambda: [255]), "u16": (pa.uint16(), lambda: [65535]), "u32": (pa.uint32(), lambda: [2**32 - 1]),
        "u64": (pa.uint64(), lambda: [2**64 - 1]), "f32": (pa.float32(), lambda: [float("inf"), -0.0, 1.5]),
        "f64": (pa.float64(), lambda: [float("-inf"), float("nan"), 5e-324]),
        "f16": (pa.float16(), lambda: [np.float16(65504), np.float16(6e-8), np.float16(-0.5)]),
        "s": (pa.string(), lambda: ["", "ä|\"\n", "x" * 300]), "bin": (pa.binary(), lambda: [b"\0\xff", b""]),
        "fix": (pa.binary(5), lambda: [b"\0\1\2\3\xff"]), "b": (pa.bool_(), lambda: [True, False]),
        "d": (pa.date32(), lambda: [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
        "ts_ms": (pa.timestamp("ms"), lambda: [-1, 0]), "ts_us": (pa.timestamp("us", tz="UTC"), lambda: [-1, 2**62]),
        "ts_ns": (pa.timestamp("ns"), lambda: [-1, 999]), "ts_nsz": (pa.timestamp("ns", tz="UTC"), lambda: [1]),
        "t_ms": (pa.time32("ms"), lambda: [0, 86399999]), "t_us": (pa.time64("us"), lambda: [1]),
        "dec9": (pa.decimal128(9, 2), lambda: [D("-9999999.99")]), "dec18": (pa.decimal128(18, 4), lambda: [D("99999999999999.9999")]),
        "dec38": (pa.decimal128(38, 10), lambda: [D("-1234567890123456789012345678.0123456789"), D("0E-10")]),
    }
    more = {"int": lambda t: int(r.integers(0, 100)), "float": lambda t: t(float(r.normal())),
            "s": lambda t: "v%d" % r.integers(0, 40)}

    def value(name, t, first, i):
        if nulls == "all" or (nulls == "some" and r.random() < 0.3):
            return None
        if i < len(first):
            return first[i]
        if pa.types.is_string(t):
            return ["common prefix %d" % r.integers(0, 10**6), "v%d" % r.integers(0, 9)][i % 2]
        if pa.types.is_fixed_size_binary(t):
            return bytes(r.integers(0, 256, 5, dtype=np.uint8))
        if pa.types.is_binary(t):
            return bytes(r.integers(0, 256, int(r.integers(0, 20)), dtype=np.uint8))
        if pa.types.is_boolean(t):
            return bool(r.integers(0, 2)) if i % 100 < 50 else True
        if pa.types.is_float16(t):
            return np.float16(r.normal())
        if pa.types.is_floating(t):
            return float(np.float32(r.normal())) if t == pa.float32() else float(r.normal())
        if pa.types.is_decimal(t):
            return D(int(r.integers(-10**8, 10**8))).scaleb(-t.scale)
        if pa.types.is_date(t):
            return datetime.date(1970, 1, 1) + datetime.timedelta(int(r.integers(-10**5, 10**5)))
        if pa.types.is_integer(t) and t.bit_width == 64 and i % 2:
            return int(r.integers(0, 2**62))
        return int(r.integers(0, 100))

    arrays = {}
    for name, (t, first) in types.items():
        values = [value(name, t, first(), i) for i in range(n)]
        arrays[name] = pa.array(values, t)
    return pa.table(arrays)


def encodings(table, style):
    if style == "dictionary":
        return {"use_dictionary": True}
    chosen = {}
    for f in table.schema:
        integer = (pa.types.is_integer(f.type) or pa.types.is_timestamp(f.type) or pa.types.is_time(f.type)
                   or pa.types.is_date(f.type))
        if style == "plain":
            chosen[f.name] = "PLAIN"
        elif integer:
            chosen[f.name] = "DELTA_BINARY_PACKED" if style.startswith("delta") else "BYTE_STREAM_SPLIT"
        elif f.name in ("s", "bin"):
            chosen[f.name] = "DELTA_BYTE_ARRAY" if style == "delta" else "DELTA_LENGTH_BYTE_ARRAY"
        elif f.name in ("fix", "f16", "dec38"):
            chosen[f.name] = "DELTA_BYTE_ARRAY" if style == "delta" else "BYTE_STREAM_SPLIT"
        elif f.name == "b":
            chosen[f.name] = "RLE"
        elif pa.types.is_floating(f.type):
            chosen[f.name] = "BYTE_STREAM_SPLIT"
        else:
            chosen[f.name] = "PLAIN"
    return {"use_dictionary": False, "column_encoding": chosen}


def by_pyarrow(top):
    small = {(n, nulls): sample(n, nulls) for n in (0, 1, 700) for nulls in ("none", "some", "all")}
    for codec, version, style, nulls in itertools.product(
            CODECS, ("1.0", "2.0"), ("dictionary", "plain", "delta", "delta_length", "split"), ("none", "some", "all")):
        rows = 700 if nulls == "some" or codec == "none" else 1
        table = small[(rows, nulls)]
        path = f"{top}/arrow-{codec}-v{version[0]}-{style}-{nulls}.parquet"
        pq.write_table(table, path, compression=codec, data_page_version=version, version="2.6",
                       row_group_size=37 if nulls == "some" else 10**6, data_page_size=256,
                       **encodings(table, style))
        expect(path, table)
    for version in ("1.0", "2.0"):
        path = f"{top}/arrow-empty-v{version[0]}.parquet"
        pq.write_table(small[(0, "none")], path, data_page_version=version)
        expect(path, small[(0, "none")])
    table = small[(700, "none")]
    table = table.cast(pa.schema([f.with_nullable(False) for f in table.schema]))
    for version in ("1.0", "2.0"):
        path = f"{top}/arrow-required-v{version[0]}.parquet"
        pq.write_table(table, path, data_page_version=version, row_group_size=100)
        expect(path, table)
    table = small[(700, "some")].select(["dec9", "dec18"])
    path = f"{top}/arrow-decimal-int.parquet"
    pq.write_table(table, path, store_decimal_as_integer=True)
    expect(path, table)
    table = small[(700, "some")].select(["ts_ms", "ts_ns"])
    path = f"{top}/arrow-int96.parquet"
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    expect(path, table, zoned=False)
    large = pa.table({"x": np.arange(200000) * 0.5, "k": np.arange(200000) % 7,
                      "s": pa.array([f"row {i}" for i in range(200000)])})
    path = f"{top}/arrow-large.parquet"
    pq.write_table(large, path, row_group_size=30000)
    expect(path, large)


def refused(top):
    nested = pa.table({"a": [1, 2], "list": [[1], [2, 3]], "deep": [{"x": 1}, {"x": 2}], "z": ["p", None]})
    pq.write_table(nested, f"{top}/nested.parquet")
    with open(f"{top}/nested.parquet.error", "w", encoding="utf-8") as f:
        f.write('column "list" is nested')
    path = f"{top}/around.select-a,z.parquet"
    pq.write_table(nested, path)
    expect(path, nested, names=["a", "z"])
    pq.write_table(nested.select(["a"]), f"{top}/brotli.parquet", compression="brotli")
    with open(f"{top}/brotli.parquet.error", "w", encoding="utf-8") as f:
        f.write("brotli compression is not known")


def frame():
    n = 500
    r = np.random.default_rng(3)
    return pd.DataFrame({
        "i": np.arange(n), "f": np.where(r.random(n) < 0.2, np.nan, r.normal(size=n)),
        "s": [None if i % 7 == 0 else f"text {i % 11}" for i in range(n)],
        "b": r.random(n) < 0.5, "c": pd.Categorical([f"c{i % 3}" for i in range(n)]),
        "t": pd.date_range("2020-01-01", periods=n, freq="h"),
        "z": pd.date_range("2020-01-01", periods=n, freq="h", tz="UTC")})


def by_pandas(top):
    f = frame()
    for codec in (None, "snappy", "gzip", "zstd"):
        path = f"{top}/pandas-{codec}.parquet"
        f.to_parquet(path, compression=codec, engine="pyarrow")
        expect(path, pa.Table.from_pandas(f, preserve_index=False))


def by_fastparquet(top):
    f = frame()
    f["s"] = f["s"].astype(object)
    for codec in (None, "SNAPPY", "GZIP", "ZSTD", "LZ4_RAW"):
        path = f"{top}/fast-{codec}.parquet"
        fastparquet.write(path, f, compression=codec, row_group_offsets=120, object_encoding={"s": "utf8"})
        table = pa.Table.from_pandas(f, preserve_index=False)
        expect(path, table)


def by_duckdb(top):
    base = sample(700, "some").select(
        ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "s", "bin", "b", "d", "ts_us", "ts_ms",
         "dec9", "dec18", "dec38"])
    db = duckdb.connect()
    db.execute("SET TimeZone='UTC'")
    db.register("base", base)
    for codec, version in itertools.product(("uncompressed", "snappy", "gzip", "zstd", "lz4_raw"), ("V1", "V2")):
        path = f"{top}/duckdb-{codec}-{version}.parquet"
        db.execute(f"COPY base TO '{path}' (FORMAT parquet, CODEC '{codec}', PARQUET_VERSION {version}, ROW_GROUP_SIZE 2048)")
        expect(path, base)


def expect_lines(path, head, rows):
    with open(f"{path}.expected", "w", encoding="utf-8") as f:
        f.write("|".join(head) + "\n")
        f.writelines("|".join(row) + "\n" for row in rows)


def by_numpy(top, small=False):
    n = 5 if small else 3000
    r = np.random.default_rng(7)
    kinds = {"b1": "bool", "f2": "float64", "f4": "float64", "f8": "float64", "u8": "decimal"}
    arrays = {"b1": r.integers(0, 2, n).astype("b1")}
    for order, size in itertools.product("<>", (1, 2, 4, 8)):
        for letter in "iu":
            info = np.iinfo(f"{letter}{size}")
            arrays[f"{order}{letter}{size}"] = r.integers(info.min, info.max, n, dtype=f"{letter}{size}", endpoint=True).astype(f"{order}{letter}{size}")
        if size > 1:
            arrays[f"{order}f{size}"] = r.normal(size=n).astype(f"{order}f{size}")

    def show(name, v):
        kind = kinds.get(name[-2:], "int64")
        return {"bool": lambda: "true" if v else "false", "float64": lambda: floating(float(v)),
                "decimal": lambda: f"{v}e-0", "int64": lambda: str(v)}[kind]()

    for i, (name, a) in enumerate(arrays.items()):
        if small and name not in ("b1", ">i2", "<f2"):
            continue
        path = f"{top}/np{i}.npy"
        np.save(path, a)
        expect_lines(path, [f"column_1:{kinds.get(name[-2:], 'int64')}"], [[show(name, v)] for v in a])
    grid = r.normal(size=(n, 3))
    for name, a in (("c", grid), ("f", np.asfortranarray(grid))):
        path = f"{top}/grid_{name}.npy"
        np.save(path, a)
        expect_lines(path, [f"column_{k}:float64" for k in (1, 2, 3)], [[floating(v) for v in row] for row in grid])
    record = np.zeros(n, dtype=[("a", "<i4"), ("t", "U6"), ("raw", "S4"), ("d", "<M8[D]"), ("when", ">M8[ns]")])
    for i in range(n):
        record[i] = (i - 2, "ä%d" % i if i % 2 else "", b"x\0y" if i % 3 else b"", np.datetime64("NaT" if i == 1 else "1969-12-31"),
                     np.datetime64(-1 - i, "ns"))
    rows = [[str(i - 2), quoted("ä%d" % i if i % 2 else ""), quoted(b"x\0y" if i % 3 else b""), "-" if i == 1 else "-1d",
             f"{(-1 - i) // 1000}us"] for i in range(n)]
    head = ["a:int64", "t:string", "raw:string", "d:date", "when:timestamp"]
    path = f"{top}/record.npy"
    np.save(path, record)
    expect_lines(path, head, rows)
    for name, save in (("stored", np.savez), ("packed", np.savez_compressed)):
        path = f"{top}/{name}.npz"
        save(path, X=grid, y=arrays["<i8"], r=record)
        expect_lines(path, ["X_1:float64", "X_2:float64", "X_3:float64", "y:int64"] + [f"r.{h}" for h in head],
                     [[floating(v) for v in grid[i]] + [str(arrays["<i8"][i])] + rows[i] for i in range(n)])
    path = f"{top}/around.select-y.npz"
    np.savez(path, y=arrays["<i8"], other=np.arange(2), objects=np.array([None, {}], dtype=object))
    expect_lines(path, ["y:int64"], [[str(v)] for v in arrays["<i8"]])
    for name, word, save in (("lengths.npz", "select columns of one length", lambda p: np.savez(p, a=np.arange(2), b=np.arange(3))),
                             ("objects.npy", "pickled", lambda p: np.save(p, np.array([None, 1], dtype=object))),
                             ("cube.npy", "neither one dimension nor two", lambda p: np.save(p, np.zeros((2, 2, 2))))):
        save(f"{top}/{name}")
        with open(f"{top}/{name}.error", "w", encoding="utf-8") as f:
            f.write(word)
    if not small:
        path = f"{top}/empty.npy"
        np.save(path, np.zeros(0))
        expect_lines(path, ["column_1:float64"], [])


def by_text(top):
    """CSV and JSON lines by pandas."""
    f = frame().drop(columns=["z", "t"])
    f["c"] = f["c"].astype(str)
    table = pa.Table.from_pandas(f, preserve_index=False)
    for name, options in (("comma", {}), ("tab", {"sep": "\t"}), ("quoted", {"quoting": 2}), ("crlf", {"lineterminator": "\r\n"})):
        path = f"{top}/pandas-{name}.csv"
        if name == "quoted":  # pandas puts quotes around nulls too; in quotes they are empty texts
            f.assign(s=f["s"].fillna("none")).to_csv(path, index=False, **options)
            expect(path, pa.Table.from_pandas(f.assign(s=f["s"].fillna("none")), preserve_index=False))
            continue
        f.to_csv(path, index=False, **options)
        expect(path, table)
    path = f"{top}/pandas.jsonl"
    f.to_json(path, orient="records", lines=True)
    exact = f.assign(f=[None if v != v else round(v, 10) for v in f["f"]])
    expect(path, pa.Table.from_pandas(exact, preserve_index=False))


def fixtures(top):
    by_numpy(top, small=True)
    table = sample(24, "some", seed=5)
    for name, codec, version, style in (("v1_dictionary_snappy", "snappy", "1.0", "dictionary"), ("v1_plain_gzip", "gzip", "1.0", "plain"),
                                        ("v2_delta_zstd", "zstd", "2.0", "delta"), ("v2_split_lz4", "lz4", "2.0", "split"),
                                        ("v2_delta_length_none", "none", "2.0", "delta_length")):
        part = table.select(["i32", "i64", "u64", "f32", "f64", "f16", "s", "fix", "b", "d", "ts_ms", "ts_us", "dec9", "dec38"])
        path = f"{top}/{name}.parquet"
        pq.write_table(part, path, compression=codec, data_page_version=version, row_group_size=10, write_statistics=False,
                       store_schema=False, **encodings(part, style))
        expect(path, part)
    path = f"{top}/int96.parquet"
    part = table.select(["ts_ms", "ts_ns"])
    pq.write_table(part, path, use_deprecated_int96_timestamps=True, store_schema=False, write_statistics=False)
    expect(path, part, zoned=False)
    path = f"{top}/nested.parquet"
    part = pa.table({"a": [1, 2], "list": [[1], [2, 3]], "deep": [{"x": 1}, {"x": 2}], "z": ["p", None]})
    pq.write_table(part, path, store_schema=False, write_statistics=False)
    expect(path, part, names=["z", "a"])


def main():
    if sys.argv[1] == "--fixtures":
        fixtures(sys.argv[2])
        return
    top = sys.argv[1]
    by_pyarrow(top)
    refused(top)
    by_pandas(top)
    by_fastparquet(top)
    by_duckdb(top)
    by_numpy(top)
    by_text(top)


main()
