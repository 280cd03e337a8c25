#include <qb/qblog.h>
