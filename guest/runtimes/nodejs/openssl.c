/*
 * What JavaScript cannot do: tell OpenSSL inside Node.js to reseed. Its first generator takes new
 * bytes from the kernel; all others, of every thread, see that and follow when they are next asked.
 *
 * No headers and no library: what is called here is in every Node.js, and Node-API's binary
 * interface does not change.
 */
#include <stddef.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);

int napi_create_function(napi_env env, const char *name, size_t length, napi_callback callback, void *data,
			 napi_value *result);
int napi_set_named_property(napi_env env, napi_value object, const char *name, napi_value value);
int napi_throw_error(napi_env env, const char *code, const char *message);
int RAND_poll(void);

napi_value napi_register_module_v1(napi_env env, napi_value exports);

static napi_value reseed(napi_env env, napi_callback_info info)
{
	(void)info;
	if (RAND_poll() != 1)
		napi_throw_error(env, NULL, "OpenSSL did not reseed");
	return NULL;
}

/* Called by Node.js when the file is loaded. */
napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
	napi_value function;
	if (napi_create_function(env, "reseed", 6, reseed, NULL, &function) == 0)
		napi_set_named_property(env, exports, "reseed", function);
	return exports;
}
