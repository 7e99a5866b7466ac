/* The table of commands and their options. Pure data. */
#include "core/base/base.h"

#include "cmd/cmd.h"

#define OPT_ALL                                                                                    \
    {                                                                                              \
        "all", 0, NULL, "also what waits for others"                                               \
    }
#define OPT_AS                                                                                     \
    {                                                                                              \
        "as", 0, "PATH", "name of a single file in the version (default its own)"                  \
    }
#define OPT_ATTEMPT                                                                                \
    {                                                                                              \
        "attempt", 0, "N", "this attempt instead of the last"                                      \
    }
#define OPT_BY                                                                                     \
    {                                                                                              \
        "by", 0, "USER", "only runs that this user submitted"                                      \
    }
#define OPT_CA                                                                                     \
    {                                                                                              \
        "ca", 0, "FILE", "certificates that are trusted (default the system's)"                    \
    }
#define OPT_CREDENTIALS                                                                            \
    {                                                                                              \
        "credentials", 0, "SECRET",                                                                \
            "secret holding ACCESS_KEY:SECRET_KEY (default AWS_* variables)"                       \
    }
#define OPT_CSV                                                                                    \
    {                                                                                              \
        "csv", 0, NULL, "one line per point: step,attempt,key,slice,dataset,model,index,ms,value"  \
    }
#define OPT_CURSOR                                                                                 \
    {                                                                                              \
        "cursor", 0, "PLACE", "go on where the page before ended"                                  \
    }
#define OPT_DEEP                                                                                   \
    {                                                                                              \
        "deep", 0, NULL, "hash all content again"                                                  \
    }
#define OPT_DELETE                                                                                 \
    {                                                                                              \
        "delete", 0, NULL, "remove the alias"                                                      \
    }
#define OPT_DEPTH                                                                                  \
    {                                                                                              \
        "depth", 0, "N", "steps away from REF, 1 to 100 (default 10)"                              \
    }
#define OPT_DETACH                                                                                 \
    {                                                                                              \
        "detach", 0, NULL, "hand it to the engine that serves here and return"                     \
    }
#define OPT_DOT                                                                                    \
    {                                                                                              \
        "dot", 0, NULL, "Graphviz source instead"                                                  \
    }
#define OPT_DOWN                                                                                   \
    {                                                                                              \
        "down", 0, NULL, "what came from it"                                                       \
    }
#define OPT_DRY_RUN                                                                                \
    {                                                                                              \
        "dry-run", 0, NULL, "say what would go and why, remove nothing"                            \
    }
#define OPT_ENDPOINT                                                                               \
    {                                                                                              \
        "endpoint", 0, "URL", "S3 server (default AWS_ENDPOINT_URL, else Amazon's)"                \
    }
#define OPT_EXCLUDE                                                                                \
    {                                                                                              \
        "exclude", 0, "PATTERN", "leave out what matches (repeatable)"                             \
    }
#define OPT_EXTRACT                                                                                \
    {                                                                                              \
        "extract", 0, NULL, "the source is a tar or zip archive: take its files"                   \
    }
#define OPT_FAILED                                                                                 \
    {                                                                                              \
        "failed", 0, NULL, "only those that could not be delivered"                                \
    }
#define OPT_FILE                                                                                   \
    {                                                                                              \
        "file", 0, "FILE", "read the value from this file, as it is"                               \
    }
#define OPT_FOLLOW                                                                                 \
    {                                                                                              \
        "follow", 'f', NULL, "go on until the run ends"                                            \
    }
#define OPT_FORMAT                                                                                 \
    {                                                                                              \
        "format", 0, "tree|json|dot", "how to print (default tree)"                                \
    }
#define OPT_INSECURE_HTTP                                                                          \
    {                                                                                              \
        "insecure-http", 0, NULL, "allow plain http beyond loopback"                               \
    }
#define OPT_LICENCE                                                                                \
    {                                                                                              \
        "licence", 0, "TEXT", "under which terms the data may be used"                             \
    }
#define OPT_GROUP                                                                                  \
    {                                                                                              \
        "group", 0, "NAME", "let members of this Unix group look and approve"                      \
    }
#define OPT_GANTT                                                                                  \
    {                                                                                              \
        "gantt", 0, NULL, "bars in time: when steps waited and ran"                                \
    }
#define OPT_GRACE                                                                                  \
    {                                                                                              \
        "grace", 0, "TIME", "leave content that was found so lately (default 1h)"                  \
    }
#define OPT_KEEP_LAST                                                                              \
    {                                                                                              \
        "keep-last", 0, "N", "keep so many runs of each pipeline, at least 1"                      \
    }
#define OPT_LOGS_ONLY                                                                              \
    {                                                                                              \
        "logs-only", 0, NULL, "remove logs and files, keep what is recorded"                       \
    }
#define OPT_LIMIT                                                                                  \
    {                                                                                              \
        "limit", 'n', "N", "at most so many (default 20)"                                          \
    }
#define OPT_MAN                                                                                    \
    {                                                                                              \
        "man", 0, NULL, "the manual page's source"                                                 \
    }
#define OPT_MASTER                                                                                 \
    {                                                                                              \
        "master", 0, NULL, "encrypt all secrets under a new master key"                            \
    }
#define OPT_MESSAGE                                                                                \
    {                                                                                              \
        "message", 'm', "TEXT", "why, kept with the version"                                       \
    }
#define OPT_METRIC                                                                                 \
    {                                                                                              \
        "metric", 0, "METRIC", "with this metric, or a bound on its last value: 'auc>0.8'"         \
    }
#define OPT_MODEL                                                                                  \
    {                                                                                              \
        "model", 0, "REF", "that made, reused or read this model, or this version of it"           \
    }
#define OPT_NO_CACHE                                                                               \
    {                                                                                              \
        "no-cache", 0, NULL, "run every step, reuse nothing"                                       \
    }
#define OPT_OFFSET                                                                                 \
    {                                                                                              \
        "offset", 0, "N", "leave out the newest N"                                                 \
    }
#define OPT_OLDER                                                                                  \
    {                                                                                              \
        "older", 0, "TIME", "what was not used for so long, like 12h or 30d (default 30d)"         \
    }
#define OPT_OLDER_THAN                                                                             \
    {                                                                                              \
        "older-than", 0, "TIME", "runs that ended so long ago, like 90d"                           \
    }
#define OPT_ONLY                                                                                   \
    {                                                                                              \
        "only", 0, "PATH", "this file alone, by its base name"                                     \
    }
#define OPT_OUT                                                                                    \
    {                                                                                              \
        "out", 0, "DIR", "leave the wheels here"                                                   \
    }
#define OPT_OVERRIDE                                                                               \
    {                                                                                              \
        "override", 0, NULL, "let it through a refused gate; needs --reason, is recorded"          \
    }
#define OPT_OWNER                                                                                  \
    {                                                                                              \
        "owner", 0, "TEXT", "who answers for the data"                                             \
    }
#define OPT_PARAM                                                                                  \
    {                                                                                              \
        "param", 'p', "NAME=VALUE", "set a parameter (repeatable)"                                 \
    }
#define OPT_PARAMS                                                                                 \
    {                                                                                              \
        "params", 0, "FILE", "parameters from a YAML or JSON mapping; -p wins"                     \
    }
#define OPT_PIPELINE                                                                               \
    {                                                                                              \
        "pipeline", 0, "NAME", "only runs of this pipeline"                                        \
    }
#define OPT_PRIVATE                                                                                \
    {                                                                                              \
        "private", 0, NULL, "allow private and link-local addresses"                               \
    }
#define OPT_PYTHON                                                                                 \
    {                                                                                              \
        "python", 0, "PROGRAM", "interpreter, by name or absolute path (default python3)"          \
    }
#define OPT_REASON                                                                                 \
    {                                                                                              \
        "reason", 0, "TEXT", "why the override is right"                                           \
    }
#define OPT_REBUILD                                                                                \
    {                                                                                              \
        "rebuild", 0, NULL, "derive the index again from the repositories"                         \
    }
#define OPT_RECORD                                                                                 \
    {                                                                                              \
        "record", 0, "FILE", "what the environment is"                                             \
    }
#define OPT_REFERENCE                                                                              \
    {                                                                                              \
        "reference", 0, NULL, "leave the bytes where they are; pin and check them"                 \
    }
#define OPT_REGION                                                                                 \
    {                                                                                              \
        "region", 0, "NAME", "S3 region (default AWS_REGION, else us-east-1)"                      \
    }
#define OPT_RETENTION                                                                              \
    {                                                                                              \
        "retention", 0, "TIME", "how long to keep it, like 90d, or forever"                        \
    }
#define OPT_RETRY                                                                                  \
    {                                                                                              \
        "retry", 0, "ID", "try this one again, as often as a new one"                              \
    }
#define OPT_SINCE                                                                                  \
    {                                                                                              \
        "since", 0, "TIME", "submitted since: a span like 7d, a date or a time"                    \
    }
#define OPT_SORT                                                                                   \
    {                                                                                              \
        "sort", 0, "ORDER", "newest, oldest, longest; highest, lowest by --metric"                 \
    }
#define OPT_SOURCE                                                                                 \
    {                                                                                              \
        "source", 0, "TEXT", "the system that the data is from, in words"                          \
    }
#define OPT_STATE                                                                                  \
    {                                                                                              \
        "state", 's', "STATE", "only runs in this state"                                           \
    }
#define OPT_SYSTEM                                                                                 \
    {                                                                                              \
        "system", 0, NULL, "what was measured about the steps: use, memory, power of their GPUs"   \
    }
#define OPT_TIME                                                                                   \
    {                                                                                              \
        "time", 't', NULL, "begin lines with their time"                                           \
    }
#define OPT_TO                                                                                     \
    {                                                                                              \
        "to", 0, "VERSION", "v3, 3 or a digest instead of the previous one"                        \
    }
#define OPT_UNTIL                                                                                  \
    {                                                                                              \
        "until", 0, "TIME", "submitted before: a span, a date or a time"                           \
    }
#define OPT_UP                                                                                     \
    {                                                                                              \
        "up", 0, NULL, "what it came from (the default)"                                           \
    }
#define OPT_WHEELS                                                                                 \
    {                                                                                              \
        "wheels", 0, "DIR", "install from here"                                                    \
    }
#define OPT_WITH                                                                                   \
    {                                                                                              \
        "param", 'p', "NAME=VALUE", "only runs with this parameter (repeatable)"                   \
    }
#define OPT_SAY                                                                                    \
    {                                                                                              \
        "reason", 0, "TEXT", "why, recorded with your name"                                        \
    }
#define OPT_WHY                                                                                    \
    {                                                                                              \
        "reason", 0, "TEXT", "why, shown in the list"                                              \
    }

/* of the list of runs */
#define OPT_RUNS                                                                                   \
    OPT_STATE, OPT_PIPELINE, OPT_SINCE, OPT_UNTIL, OPT_WITH, OPT_BY, OPT_MODEL, OPT_METRIC,        \
        OPT_SORT, OPT_CURSOR, OPT_LIMIT, OPT_OFFSET

#define OPTS(...) ((const struct sl_opt[]){__VA_ARGS__ __VA_OPT__(, ){NULL, 0, NULL, NULL}})

const struct sl_command sl_commands[] = {
#define SL_COMMAND(name_, fn_, group_, summary_, args_, args_min_, args_max_, opts_, help_)        \
    {name_, fn_, SL_GROUP_##group_, summary_, args_, args_min_, args_max_, opts_, help_},
#include "cmd/commands.def"
#undef SL_COMMAND
};
const size_t sl_n_commands = SL_LEN(sl_commands);

const char *sl_command_group_title(enum sl_command_group group)
{
    static const char *const titles[] = {
        [SL_GROUP_RUN] = "Pipelines",        [SL_GROUP_ASK] = "Questions",
        [SL_GROUP_DATA] = "Data and models", [SL_GROUP_DEPLOY] = "Production",
        [SL_GROUP_ADMIN] = "Upkeep",         [SL_GROUP_HIDDEN] = "Debugging",
    };
    return titles[group];
}
