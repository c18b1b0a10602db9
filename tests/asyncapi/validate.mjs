// An AsyncAPI document on stdin; every complaint of AsyncAPI's own parser on stdout, and exit status 1 where one is an error.
import { text } from "node:stream/consumers";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;
const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const diagnostics = await parser.validate(await text(process.stdin));
const errors = diagnostics.filter((one) => one.severity === ERROR);
for (const { code, path, message } of errors) console.log(`${path.join("/")}: ${code}: ${message}`);
process.exitCode = errors.length > 0 ? 1 : 0;
