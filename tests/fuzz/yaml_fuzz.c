/**
 * Any bytes as YAML: no crash, no leak, bounded work; every place inside a scalar can be asked for.
 */
#include "core/base/base.h"

#include "core/yaml/yaml.h"
#include "tests/support/sl_fuzz.h"

static void visit(const struct sl_yaml *y, const struct sl_yaml_node *node, size_t *budget)
{
    if (*budget == 0) {
        return;
    }
    --*budget;
    SL_ASSERT(node->loc.line >= 1 && node->loc.column >= 1);
    if (node->type == SL_YAML_SEQ) {
        for (size_t i = 0; i < node->seq.n; i++) {
            visit(y, node->seq.items[i], budget);
        }
    } else if (node->type == SL_YAML_MAP) {
        for (size_t i = 0; i < node->map.n; i++) {
            SL_ASSERT(sl_yaml_get(node, node->map.pairs[i].key) != NULL);
            visit(y, node->map.pairs[i].value, budget);
        }
    } else {
        size_t step = node->text.len / 16 + 1;
        for (size_t at = 0; at <= node->text.len; at += step) {
            struct sl_loc loc = sl_yaml_loc_at(y, node, at, 3);
            SL_ASSERT(loc.line >= 1 && loc.column >= 1 && loc.width >= 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_yaml *y = NULL;
    sl_arena_init(&arena, 0);
    sl_diags_init(&diags, &arena);
    int rc =
        sl_yaml_parse("fuzz.yml", (struct sl_str){(const char *)data, size}, &arena, &diags, &y);
    SL_ASSERT((rc == 0) == (diags.n_errors == 0));
    if (rc == 0) {
        size_t budget = 20000;
        for (size_t i = 0; i < y->n_docs; i++) {
            visit(y, y->docs[i], &budget);
        }
    }
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    sl_diags_print(&diags, false, &out);
    sl_buf_release(&out);
    sl_diags_release(&diags);
    sl_arena_release(&arena);
    return 0;
}
