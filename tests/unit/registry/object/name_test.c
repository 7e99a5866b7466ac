/** Entity names, aliases, reference texts and paths: rules, limits, reversible encodings. */
#include "core/base/base.h"

#include <stdio.h>

#include "registry/object/name.h"
#include "tests/support/sl_test.h"

SL_TEST(registry_object_name, name_check__mlflow_rule__accepts_and_refuses)
{
    struct sl_err err = SL_ERR_INIT;
    static const char *const good[] = {"churn", "a b",  ".x", "x.lock", "a@b",
                                       "%41",   "a..b", "é",  "~^?*[\\"};
    static const struct {
        const char *name, *why;
    } bad[] = {{"", "must not be empty"},      {"a/b", "must not hold '/'"},
               {"a:b", "must not hold ':'"},   {"a\nb", "control characters (byte 2)"},
               {"\x7f", "control characters"}, {"\xff", "must be UTF-8"}};
    for (size_t i = 0; i < SL_LEN(good); i++) {
        SL_CHECK_OK(sl_name_check(good[i], &err), err);
    }
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        SL_CHECK_ERR(sl_name_check(bad[i].name, &err), SL_EINVAL, err, bad[i].why);
    }
    char name[SL_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[SL_NAME_MAX] = '\0';
    SL_CHECK_OK(sl_name_check(name, &err), err);
    name[SL_NAME_MAX] = 'n';
    name[SL_NAME_MAX + 1] = '\0';
    SL_CHECK_ERR(sl_name_check(name, &err), SL_EINVAL, err, "this one has 251");
}

SL_TEST(registry_object_name, encode__hostile_names__legal_in_git_and_reversible)
{
    static const struct {
        const char *name, *encoded;
    } cases[] = {{"churn", "churn"},
                 {"a b", "a%20b"},
                 {".x", "%2Ex"},
                 {"x.", "x%2E"},
                 {"a..b", "a.%2Eb"},
                 {"x.lock", "x%2Elock"},
                 {"a@{b", "a%40%7Bb"},
                 {"100%", "100%25"},
                 {"é", "%C3%A9"},
                 {"v1.2-rc_3", "v1.2-rc_3"},
                 {"~^?*[\\", "%7E%5E%3F%2A%5B%5C"}};
    char out[SL_REF_MAX];
    char back[SL_NAME_MAX + 1];
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK_EQ_STR(sl_name_encode(cases[i].name, out), cases[i].encoded);
        SL_CHECK(sl_name_decode(out, back));
        SL_CHECK_EQ_STR(back, cases[i].name);
    }
}

SL_TEST(registry_object_name, encode__every_length_of_wide_bytes__parts_fit_a_file_name)
{
    char name[SL_NAME_MAX + 1] = {0};
    char out[SL_REF_MAX];
    char back[SL_NAME_MAX + 1];
    static const char *const units[] = {"\xc3\xa9", "a", ".", "a."};
    for (size_t u = 0; u < SL_LEN(units); u++) {
        size_t step = strlen(units[u]);
        for (size_t len = step; len <= SL_NAME_MAX; len += step) {
            memcpy(name + len - step, units[u], step + 1);
            sl_name_encode(name, out);
            SL_CHECK(sl_name_decode(out, back));
            SL_CHECK_EQ_STR(back, name);
            for (const char *part = out; *part != '\0';) {
                const char *end = strchrnul(part, '/');
                SL_CHECK(end - part <= SL_REF_PART_MAX + 1 && end > part);
                SL_CHECK(part[0] != '.' && end[-1] != '.');
                part = *end == '\0' ? end : end + 1;
            }
            SL_CHECK(strstr(out, "..") == NULL);
        }
    }
}

SL_TEST(registry_object_name, decode__other_spellings__refused)
{
    static const char *const bad[] = {"",       "%",   "%4",   "%zz", "%41", "a%2fb",
                                      "%c3%a9", "a/b", "a%/b", "%00", "a b"};
    char back[SL_NAME_MAX + 1];
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        SL_CHECK_MSG(!sl_name_decode(bad[i], back), "%s", bad[i]);
    }
}

SL_TEST(registry_object_name, alias_check__reserved_and_bad__refused)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_alias_check("champion", &err), err);
    SL_CHECK_OK(sl_alias_check("v", &err), err);
    SL_CHECK_OK(sl_alias_check("v1a", &err), err);
    SL_CHECK_ERR(sl_alias_check("Latest", &err), SL_EINVAL, err, "reserved");
    SL_CHECK_ERR(sl_alias_check("V12", &err), SL_EINVAL, err, "names a version number");
    SL_CHECK_ERR(sl_alias_check("a.b", &err), SL_EINVAL, err, "letters, digits");
    SL_CHECK_ERR(sl_alias_check("", &err), SL_EINVAL, err, "1 to 250");
}

SL_TEST(registry_object_name, ref_parse__every_form__selects)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_ref_text t;
    SL_CHECK_OK(sl_ref_parse("m", &t, &err), err);
    SL_CHECK(t.select == SL_SELECT_LATEST);
    SL_CHECK_OK(sl_ref_parse("m@latest", &t, &err), err);
    SL_CHECK(t.select == SL_SELECT_LATEST);
    SL_CHECK_OK(sl_ref_parse("m@v12", &t, &err), err);
    SL_CHECK(t.select == SL_SELECT_NUMBER);
    SL_CHECK_EQ_INT(t.number, 12);
    SL_CHECK_OK(sl_ref_parse("a@b@champion", &t, &err), err);
    SL_CHECK(t.select == SL_SELECT_ALIAS);
    SL_CHECK_EQ_STR(t.name, "a@b");
    SL_CHECK_EQ_STR(t.alias, "champion");
    SL_CHECK_OK(sl_ref_parse("m@sha256:0123abcd", &t, &err), err);
    SL_CHECK(t.select == SL_SELECT_DIGEST);
    SL_CHECK_EQ_STR(t.hex, "0123abcd");
    SL_CHECK_ERR(sl_ref_parse("m@sha256:0123abc", &t, &err), SL_EINVAL, err, "8 to 64");
    SL_CHECK_ERR(sl_ref_parse("m@sha256:0123ABCD", &t, &err), SL_EINVAL, err, "lowercase");
    SL_CHECK_ERR(sl_ref_parse("m@v0", &t, &err), SL_EINVAL, err, "count from v1");
    SL_CHECK_ERR(sl_ref_parse("m@v01", &t, &err), SL_EINVAL, err, "count from v1");
    SL_CHECK_ERR(sl_ref_parse("m@v99999999999999999999", &t, &err), SL_EINVAL, err, "count from");
    SL_CHECK_ERR(sl_ref_parse("@v1", &t, &err), SL_EINVAL, err, "must not be empty");
    SL_CHECK_ERR(sl_ref_parse("m@", &t, &err), SL_EINVAL, err, "1 to 250");
}

SL_TEST(registry_object_name, path_check__hostile_paths__refused)
{
    struct sl_err err = SL_ERR_INIT;
    static const char *const good[] = {
        "a", "a/b/c", ".gitignore", ".gitattributes", "git~2", ".gitx", "..a", "a b", "é", "a\\b"};
    static const char *const bad[] = {"",
                                      "/a",
                                      "a/",
                                      "a//b",
                                      ".",
                                      "a/..",
                                      "./a",
                                      ".git",
                                      ".GIT",
                                      "a/.Git/b",
                                      ".git. .",
                                      "git~1",
                                      "GIT~1",
                                      ".git:x",
                                      ".g\xe2\x80\x8cit",
                                      "a\nb",
                                      "\xc0\xaf",
                                      "a\x01",
                                      ".git\xef\xbb\xbf",
                                      ".git\\x"};
    for (size_t i = 0; i < SL_LEN(good); i++) {
        SL_CHECK_OK(sl_path_check(good[i], &err), err);
    }
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        SL_CHECK_MSG(sl_path_check(bad[i], &err) == -SL_EINVAL, "%s", bad[i]);
    }
}

SL_TEST(registry_object_name, path_check__limits_and_one_past__refused)
{
    struct sl_err err = SL_ERR_INIT;
    char path[2 * SL_PATH_DEPTH_MAX + 2];
    for (size_t i = 0; i < SL_LEN(path); i++) {
        path[i] = i % 2 == 0 ? 'd' : '/';
    }
    path[2 * SL_PATH_DEPTH_MAX - 1] = '\0';
    SL_CHECK_OK(sl_path_check(path, &err), err);
    path[2 * SL_PATH_DEPTH_MAX - 1] = '/';
    path[2 * SL_PATH_DEPTH_MAX + 1] = '\0';
    SL_CHECK_ERR(sl_path_check(path, &err), SL_ELIMIT, err, "129 components");
    char part[SL_PATH_PART_MAX + 2];
    memset(part, 'p', sizeof(part));
    part[SL_PATH_PART_MAX] = '\0';
    SL_CHECK_OK(sl_path_check(part, &err), err);
    part[SL_PATH_PART_MAX] = 'p';
    part[SL_PATH_PART_MAX + 1] = '\0';
    SL_CHECK_ERR(sl_path_check(part, &err), SL_ELIMIT, err, "241 bytes");
}

SL_TEST(registry_object_name, link_inside__by_text__only_within_root)
{
    SL_CHECK(sl_path_link_inside("a/b", "../c"));
    SL_CHECK(sl_path_link_inside("a", "b/../c"));
    SL_CHECK(sl_path_link_inside("a/b/c", "../../d"));
    SL_CHECK(!sl_path_link_inside("a", "../c"));
    SL_CHECK(!sl_path_link_inside("a/b", "../../c"));
    SL_CHECK(!sl_path_link_inside("a/b", "../../a/c")); /* leaves on the way */
    SL_CHECK(!sl_path_link_inside("a", "/etc/passwd"));
    SL_CHECK(!sl_path_link_inside("a", ""));
    SL_CHECK(!sl_path_link_inside("a", ".git/config"));
}

SL_TEST(registry_object_name, path_part__special_names__escaped_reversibly)
{
    static const struct {
        const char *part, *stored;
    } cases[] = {{".gitattributes", "%2Egitattributes"},
                 {".GitModules", "%2EGitModules"},
                 {".lfsconfig", "%2Elfsconfig"},
                 {"%2Egitattributes", "%252Egitattributes"},
                 {"%25", "%2525"},
                 {"%41", "%41"},
                 {"plain", "plain"},
                 {".gitignore", ".gitignore"}};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_buf out = SL_BUF_INIT(100);
        struct sl_buf back = SL_BUF_INIT(100);
        sl_path_part_encode(&out, cases[i].part, strlen(cases[i].part));
        SL_CHECK_EQ_STR(sl_buf_str(&out), cases[i].stored);
        sl_path_part_decode(&back, out.ptr, out.len);
        SL_CHECK_EQ_STR(sl_buf_str(&back), cases[i].part);
        sl_buf_release(&out);
        sl_buf_release(&back);
    }
}
