#include <zlib.h>
/* Which headers were read: 32 or 64. */
static const int POINTER_BITS = sizeof(void *) * 8;
